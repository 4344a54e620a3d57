"""Find the one token that a key's name means, among those that the library shows."""

from __future__ import annotations

from ctypes import byref, c_ulong
from typing import NamedTuple

from ksm_storage.plugin import KeyNotFoundError, UnavailableError

from . import cryptoki as ck
from .key_names import KeyName
from .module import CryptokiError, Module


class Token(NamedTuple):
    """Hold where a token is, what it is called and what it says about itself."""

    slot: int
    name: KeyName
    flags: int

    def has(self, flag: int) -> bool:
        """Tell whether the token sets a ``CKF_`` flag."""
        return bool(self.flags & flag)


def find_token(module: Module, wanted: KeyName) -> Token:
    """Return the one token that has the token's attributes of a name.

    Raises:
        UnavailableError: There is none.
        KeyNotFoundError: There is more than one.
    """
    tokens, failure = _tokens(module)
    found = [token for token in tokens if wanted.of_token().covers(token.name)]
    if not found:
        shown = ", ".join(repr(token.name.token) for token in tokens) or "none"
        raise UnavailableError(
            f"the library shows no token {str(wanted.of_token())!r}: it is not connected, not "
            "loaded, or has another name",
            hint=f"the tokens that it shows: {shown}; for nShield, see preload and "
            "CKNFAST_LOADSHARING",
        ) from failure
    if len(found) > 1:
        serials = ", ".join(repr(token.name.serial) for token in found)
        raise KeyNotFoundError(
            f"{len(found)} tokens are such as {str(wanted)!r} asks for",
            hint=f"add token=... or serial=... to the name of the key; the serials: {serials}",
        )
    return found[0]


def _tokens(module: Module) -> tuple[list[Token], CryptokiError | None]:
    tokens: list[Token] = []
    failure = None
    for slot in _slots(module):
        info = ck.TokenInfo()
        try:
            module.call("C_GetTokenInfo", slot, byref(info))
        except CryptokiError as exc:
            # An empty slot, or one that fails, must not keep us from the token in another.
            failure = exc
            continue
        token = Token(slot, _name_of(info), info.flags)
        if token.has(ck.CKF_TOKEN_INITIALIZED):
            tokens.append(token)
    return tokens, failure


def _slots(module: Module) -> list[int]:
    count = c_ulong()
    module.call("C_GetSlotList", 1, None, byref(count))
    # Room for tokens that appear between the two calls.
    count = c_ulong(count.value + 16)
    slots = (c_ulong * count.value)()
    module.call("C_GetSlotList", 1, slots, byref(count))
    return list(slots[: count.value])


def _name_of(info: ck.TokenInfo) -> KeyName:
    return KeyName(
        token=_text(info.label),
        serial=_text(info.serial),
        manufacturer=_text(info.manufacturer),
        model=_text(info.model),
    )


def _text(padded: object) -> str:
    # Filled up with spaces, and by some libraries with NULs.
    return bytes(padded).decode("utf-8", "replace").rstrip(" \0")  # type: ignore[call-overload, no-any-return]
