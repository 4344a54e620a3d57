"""Sessions with tokens: logged in with a PIN that is tried once, shared, and renewed if lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from ctypes import byref, c_ubyte, c_ulong
from typing import TypeVar

from ksm_storage import plugin as kit

from . import cryptoki as ck
from .cryptoki import CryptokiError, Module
from .hooks import Access
from .key_names import KeyName
from .keys import OpenSession, Token, find_token

_Result = TypeVar("_Result")

# A library that hangs must not keep a program from closing.
_CLOSE_SECONDS = 3.0
_SOFT_HSM = "softhsm"
_PAUSES = (0.2, 0.4)
# CKR_GENERAL_ERROR and CKR_USER_PIN_NOT_INITIALIZED
_UNREADABLE = frozenset({0x05, 0x102})


class SharedSessions:
    """Lend one session to all key wrappers of a token; it is closed when none is left.

    Of the process, because a login to a token is: PKCS #11 counts it for all sessions of a
    process. The kit's client of one key wrapper would log in once for each key.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop everything without a call: in a forked child it is the parent's."""
        self._lock = threading.Lock()
        self._modules: dict[str, Module] = {}
        self._sessions: dict[tuple[str, KeyName, bool], tuple[TokenSession, int]] = {}

    def acquire(self, access: Access, name: KeyName) -> TokenSession:
        """Return the session for a token; each acquisition wants its release.

        Raises:
            SettingsError: The library cannot be loaded.
            CryptokiError: The library refuses to give its functions.
        """
        place = (access.module, name.of_token(), access.login)
        with self._lock:
            session, users = self._sessions.get(place) or (self._new(access, place[1]), 0)
            self._sessions[place] = (session, users + 1)
            return session

    def release(self, access: Access, name: KeyName) -> None:
        """Give a session back."""
        place = (access.module, name.of_token(), access.login)
        with self._lock:
            session, users = self._sessions.pop(place)
            if users > 1:
                self._sessions[place] = (session, users - 1)
            else:
                session.close()

    def _new(self, access: Access, token: KeyName) -> TokenSession:
        if access.module not in self._modules:
            self._modules[access.module] = Module(access.module, access.module_parameters)
        return TokenSession(self._modules[access.module], token, login=access.login)


sessions = SharedSessions()
if hasattr(os, "register_at_fork"):
    # A session of the parent's must not be used in the child, and a lock that another thread of
    # the parent held would never be free there.
    os.register_at_fork(after_in_child=sessions.forget)


class TokenSession:
    """Run tasks in one session with the token that a name means."""

    def __init__(self, module: Module, wanted: KeyName, *, login: bool) -> None:
        self._module = module
        self._wanted = wanted
        self._login = Login() if login else None
        self._open: OpenSession | None = None

    def run(self, task: Callable[[OpenSession], _Result], pin: kit.PinSource) -> _Result:
        """Run a task, and once more in a new session if the current one turns out to be lost.

        Raises:
            CryptokiError: The token refused or failed.
            DeadlinePassedError: The library did not return in time.
            KsmStorageError: The token or the key does not exist, or the login failed.
        """
        with self._module.task():
            if self._open is not None and self._open.generation != self._module.generation:
                # Another user of the library finalised it: the number may be another session's.
                self._open = None
            known = self._open is not None
            try:
                return self._tried(task, pin)
            except CryptokiError as exc:
                if not known or exc.code not in ck.LOST:
                    raise
                self._drop()
            return self._tried(task, pin)

    def close(self) -> None:
        """Close the session; the next task opens another."""
        try:
            with kit.deadline_of(_CLOSE_SECONDS), self._module.task():
                self._drop()
        except kit.DeadlinePassedError:
            # Another task hangs in the library, perhaps in this session.
            opened, self._open = self._open, None
            if opened is not None:
                self._module.abandoned.append(opened.handle)

    def _tried(self, task: Callable[[OpenSession], _Result], pin: kit.PinSource) -> _Result:
        opened = self._module.run(self._ready)
        if not opened.is_ready:
            self._log_in(opened, pin)
        elif self._login is not None:
            # A caller with another PIN must not profit from the login of one with the right PIN.
            self._login.check(opened, pin)
        try:
            return self._module.run(lambda: task(opened))
        except (CryptokiError, kit.KeyStateError):
            # What a key may do is remembered with it, and an administrator may change that.
            opened.forget_keys()
            raise

    def _ready(self) -> OpenSession:
        # Also one that a call opened which its caller had given up by then.
        if self._open is None:
            try:
                self._open = self._new_session()
            except CryptokiError as exc:
                if exc.code != ck.CKR_CRYPTOKI_NOT_INITIALIZED:
                    raise
                # Another user of the library finalised it since.
                self._open = self._new_session()
        return self._open

    def _new_session(self) -> OpenSession:
        self._module.initialise()
        while self._module.abandoned:
            # While it is open it keeps the login alive, also for a caller with another PIN.
            with suppress(CryptokiError):
                self._module.call("C_CloseSession", self._module.abandoned.pop())
        token, handle = self._found_token(), c_ulong()
        flags = ck.CKF_SERIAL_SESSION
        self._module.call("C_OpenSession", token.slot, flags, None, None, byref(handle))
        return OpenSession(self._module, token, handle.value)

    def _found_token(self) -> Token:
        try:
            token = find_token(self._module, self._wanted)
        except kit.UnavailableError:
            # SoftHSM reads its tokens while it starts, and misses one to which another process
            # writes at that moment. Nobody else here relies on a library that is fresh.
            if not (self._module.is_fresh and _SOFT_HSM in os.path.basename(self._module.path)):
                raise
            self._module.restart()
            token = find_token(self._module, self._wanted)
        self._module.is_fresh = False
        return token

    def _log_in(self, opened: OpenSession, pin: kit.PinSource) -> None:
        try:
            if self._login is not None and opened.token.has(ck.CKF_LOGIN_REQUIRED):
                self._login.perform(opened, pin)
            opened.is_ready = True
        except BaseException:
            # Else a refused PIN would leave a session behind, of which a token has few.
            self._drop()
            raise

    def _drop(self) -> None:
        opened, self._open = self._open, None
        if opened is None:
            return
        try:
            # Without C_Logout, which would log out every session of this process. The token
            # logs the user out by itself when the last session closes.
            with kit.deadline_of(_CLOSE_SECONDS):
                self._module.run(lambda: self._module.call("C_CloseSession", opened.handle))
        except CryptokiError:
            # It is gone already: that is why it is closed.
            return
        except kit.DeadlinePassedError:
            self._module.abandoned.append(opened.handle)


# Of the process and not of a key wrapper: a program that opens a hundred files with one wrong PIN
# must not try it a hundred times.
_refused = kit.RefusedPins()


class Login:
    """Log in to one token with the PIN of a source, and hold later callers to the same PIN."""

    def __init__(self) -> None:
        self._mark: bytes | None = None
        self._checked: dict[int, kit.PinSource] = {}

    def perform(self, opened: OpenSession, pin: kit.PinSource) -> None:
        """Log in.

        Raises:
            AuthenticationError: The token rejected the PIN before.
            SettingsError: There is no PIN.
            CryptokiError: The token refuses the PIN, or failed; the PIN is not tried again.
        """
        token = opened.token
        if not pin.is_given and token.has(ck.CKF_PROTECTED_AUTHENTICATION_PATH):
            # A person types at the token for as long as the token allows.
            with _countdown_paused():
                opened.module.run(lambda: _send(opened, None))
            return
        text, mark = self._read(opened, pin)
        _refused.check(mark, f"the token {token.name.token!r}")

        def send() -> None:
            try:
                _send(opened, text)
            except CryptokiError as exc:
                if exc.code in ck.PIN_REFUSED:
                    _refused.add(mark)
                raise

        opened.module.run(send)
        self._mark, self._checked = mark, {id(pin): pin}

    def check(self, opened: OpenSession, pin: kit.PinSource) -> None:
        """Compare the PIN of a later caller with the one that logged in.

        Raises:
            AuthenticationError: It is another one.
        """
        # One that a person types, or a pipe gives, is not asked for again.
        if self._mark is None or not pin.is_repeatable or id(pin) in self._checked:
            return
        import hmac

        _, mark = self._read(opened, pin)
        if not hmac.compare_digest(mark, self._mark):
            raise kit.AuthenticationError(
                f"this process is logged in to the token {opened.token.name.token!r} with another "
                "PIN",
                hint="use the same PIN for all keys of a token in one process",
            )
        # The source is kept with its id, so that no other one can get the same id.
        self._checked[id(pin)] = pin

    @staticmethod
    def _read(opened: OpenSession, pin: kit.PinSource) -> tuple[str, bytes]:
        name = opened.token.name
        # In the thread of the caller: whoever interrupts a prompt there gets the echo back.
        with _countdown_paused():
            text = pin.read(
                f"token {name.token!r}", hint="; for a slot without login set 'login' to none"
            )
        places = (opened.module.path, name.token or "", name.serial or "")
        return text, _refused.mark_of(text, *places)


def _countdown_paused() -> AbstractContextManager[None]:
    deadline = kit.current_deadline()
    return nullcontext() if deadline is None else deadline.paused()


def _send(opened: OpenSession, text: str | None) -> None:
    raw = (text or "").encode("utf-8", "surrogatepass")
    # No address at all is what asks a token to use its own PIN pad.
    buffer = None if text is None else (c_ubyte * len(raw)).from_buffer_copy(raw)
    for pause in (*_PAUSES, None):
        try:
            opened.module.call("C_Login", opened.handle, ck.CKU_USER, buffer, len(raw))
        except CryptokiError as exc:
            # Another part of this process has logged in: the login counts for all its sessions.
            if exc.code == ck.CKR_USER_ALREADY_LOGGED_IN:
                return
            if pause is None or not _is_being_written(opened.token, exc):
                raise
            time.sleep(pause)
        else:
            return


def _is_being_written(token: Token, exc: CryptokiError) -> bool:
    # SoftHSM cannot read a token to which another process writes, as each login does; it counts
    # no wrong PINs. Nothing of the kind is known of others, so there a PIN is sent once.
    is_soft = _SOFT_HSM in (token.name.manufacturer or "").lower()
    return is_soft and exc.code in _UNREADABLE
