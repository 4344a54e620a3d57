"""One session with one token, shared by the key wrappers of a process, renewed once if lost."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_ulong
from typing import TypeVar

from ksm_storage.plugin import KeyStateError, KsmStorageError

from . import cryptoki as ck
from .key_names import KeyName
from .keys import Key, find_key
from .login import Login
from .module import LOST, CryptokiError, Module
from .pin import PinSource
from .tokens import Token, find_token

_Result = TypeVar("_Result")


class OpenSession:
    """Hold a session that is open and logged in, and the keys found in it."""

    def __init__(self, module: Module, token: Token, handle: int) -> None:
        self.module = module
        self.token = token
        self.handle = handle
        self._keys: dict[KeyName, Key] = {}

    def key(self, name: KeyName) -> Key:
        """Return the key of a name, looked up once: a search costs more than a decryption."""
        if name not in self._keys:
            self._keys[name] = find_key(self.module, self.handle, self.token, name)
        return self._keys[name]

    def forget_keys(self) -> None:
        """Look each key up anew when it is next asked for."""
        self._keys.clear()

    def identity_of(self, key: Key) -> KeyName:
        """Return all attributes of a key and its token, for a recorded name to be held against."""
        name = key.name
        return self.token.name._replace(object=name.object, id=name.id, type=name.type)


class TokenSession:
    """Run tasks in one session with the token that a name means."""

    def __init__(self, module: Module, wanted: KeyName, *, login: bool) -> None:
        self._module = module
        self._wanted = wanted
        self._login = Login() if login else None
        self._open: OpenSession | None = None

    def run(self, task: Callable[[OpenSession], _Result], pin: PinSource) -> _Result:
        """Run a task, and once more in a new session if the one at hand turns out to be lost.

        Raises:
            KsmStorageError: The token refused or failed, or the login did.
        """
        with self._module.lock:
            known = self._open is not None
            try:
                return self._tried(task, pin)
            except CryptokiError as exc:
                if not known or exc.code not in LOST:
                    raise _translated(exc) from exc
                self.close()
            try:
                return self._tried(task, pin)
            except CryptokiError as exc:
                raise _translated(exc) from exc

    def close(self) -> None:
        """Close the session; the next task opens another."""
        with self._module.lock:
            opened, self._open = self._open, None
            if opened is not None:
                # Without C_Logout, which would log out every session of this process. The token
                # logs the user out by itself when the last session closes.
                self._dropped(opened.handle)

    def _tried(self, task: Callable[[OpenSession], _Result], pin: PinSource) -> _Result:
        if self._open is None:
            self._open = self._opened(pin)
        elif self._login is not None:
            # A caller with another PIN must not profit from the login of one with the right PIN.
            self._login.check(self._open.token, pin)
        try:
            return task(self._open)
        except (CryptokiError, KeyStateError):
            # What a key may do is remembered with it, and an administrator may change that.
            self._open.forget_keys()
            raise

    def _opened(self, pin: PinSource) -> OpenSession:
        self._module.initialise()
        token, handle = find_token(self._module, self._wanted), c_ulong()
        flags = ck.CKF_SERIAL_SESSION
        self._module.call("C_OpenSession", token.slot, flags, None, None, byref(handle))
        try:
            if self._login is not None and token.has(ck.CKF_LOGIN_REQUIRED):
                self._login.perform(self._module, token, handle.value, pin)
        except BaseException:
            # Else a refused PIN would leave a session behind, of which a token has few.
            self._dropped(handle.value)
            raise
        return OpenSession(self._module, token, handle.value)

    def _dropped(self, handle: int) -> None:
        try:
            self._module.call("C_CloseSession", handle)
        except CryptokiError:
            # It is gone already: that is why it is closed.
            return


def _translated(exc: CryptokiError) -> KsmStorageError:
    # Loaded for a failure only: the table costs each start a few milliseconds.
    from .errors import translated

    return translated(exc)
