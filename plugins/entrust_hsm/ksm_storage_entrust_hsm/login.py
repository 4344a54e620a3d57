"""Log in to a token, and never twice with a PIN that it refused."""

from __future__ import annotations

import hashlib
import hmac
import os
from ctypes import c_ubyte

from ksm_storage.plugin import AuthenticationError

from . import cryptoki as ck
from .module import PIN_REFUSED, CryptokiError, Module
from .pin import PinSource
from .tokens import Token


class RefusedPins:
    """Remember, as keyed hashes, which PINs were refused: tokens lock after a few wrong ones."""

    def __init__(self) -> None:
        # PINs are short, so a hash without a key would give them away in a memory dump.
        self._key = os.urandom(32)
        self._refused: set[bytes] = set()

    def mark_of(self, pin: str, *place: str) -> bytes:
        """Return what stands for a PIN at a token."""
        parts = [each.encode("utf-8", "surrogatepass") for each in (*place, pin)]
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def add(self, mark: bytes) -> None:
        """Remember a refusal for as long as the process lives."""
        self._refused.add(mark)

    def check(self, mark: bytes, token: Token) -> None:
        """Refuse a PIN that the token has refused.

        Raises:
            AuthenticationError: It has; the token is not asked again.
        """
        if mark in self._refused:
            raise AuthenticationError(
                f"the PIN for the token {token.name.token!r} was refused before and is not tried "
                "again",
                hint="correct the PIN and start the program anew; tokens lock after a few wrong "
                "ones",
            )


# Of the process and not of a key wrapper: a program that opens a hundred files with one wrong PIN
# must not try it a hundred times.
_refused = RefusedPins()


class Login:
    """Log in to one token with the PIN of a source, and hold later callers to the same PIN."""

    def __init__(self) -> None:
        self._mark: bytes | None = None
        self._path = ""
        self._checked: dict[int, PinSource] = {}

    def perform(self, module: Module, token: Token, session: int, pin: PinSource) -> None:
        """Log in.

        Raises:
            AuthenticationError: The token refuses the PIN, or refused it before.
            SettingsError: There is no PIN.
            ProviderError: The token failed; the PIN is not tried again.
        """
        if not pin.is_given and token.has(ck.CKF_PROTECTED_AUTHENTICATION_PATH):
            self._send(module, session, None)
            return
        text = pin.read(token.name.token or "")
        mark = _mark_of(text, module.path, token)
        _refused.check(mark, token)
        try:
            self._send(module, session, text)
        except AuthenticationError as exc:
            if isinstance(exc.__cause__, CryptokiError) and exc.__cause__.code in PIN_REFUSED:
                _refused.add(mark)
            raise
        self._mark, self._path = mark, module.path
        self._checked = {id(pin): pin}

    def check(self, token: Token, pin: PinSource) -> None:
        """Compare the PIN of a later caller with the one that logged in.

        Raises:
            AuthenticationError: It is another one.
        """
        # One that a person types, or a pipe gives, is not asked for again.
        if self._mark is None or not pin.is_repeatable or id(pin) in self._checked:
            return
        mark = _mark_of(pin.read(token.name.token or ""), self._path, token)
        if not hmac.compare_digest(mark, self._mark):
            raise AuthenticationError(
                f"this process is logged in to the token {token.name.token!r} with another PIN",
                hint="one process has one login to a token: give all keys of it the same PIN",
            )
        # The source is kept with its id, so that no other one can get the same id.
        self._checked[id(pin)] = pin

    @staticmethod
    def _send(module: Module, session: int, text: str | None) -> None:
        raw = (text or "").encode("utf-8", "surrogatepass")
        # No address at all is what asks a token to use its own PIN pad.
        buffer = None if text is None else (c_ubyte * len(raw)).from_buffer_copy(raw)
        try:
            module.call("C_Login", session, ck.CKU_USER, buffer, len(raw))
        except CryptokiError as exc:
            # Another part of this process has logged in: the login counts for all its sessions.
            if exc.code != ck.CKR_USER_ALREADY_LOGGED_IN:
                from .errors import translated

                raise translated(exc) from exc


def _mark_of(pin: str, path: str, token: Token) -> bytes:
    return _refused.mark_of(pin, path, token.name.token or "", token.name.serial or "")
