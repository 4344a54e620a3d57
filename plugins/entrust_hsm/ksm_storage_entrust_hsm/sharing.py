"""The sessions of this process: one for each token and way to log in, and none of a parent's."""

from __future__ import annotations

import os
import threading

from .key_names import KeyName
from .module import CryptokiError, Module
from .options import Access
from .session import TokenSession

Place = tuple[str, KeyName, bool]


class _Shared:
    def __init__(self, session: TokenSession) -> None:
        self.session = session
        self.users = 0


class SharedSessions:
    """Lend one session to all key wrappers of a token; it is closed when none is left."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop everything without a call: in a forked child it is the parent's."""
        self._lock = threading.Lock()
        self._modules: dict[str, Module] = {}
        self._sessions: dict[Place, _Shared] = {}

    def acquire(self, access: Access, name: KeyName) -> TokenSession:
        """Return the session for a token; each acquisition wants its release.

        Raises:
            SettingsError: The library cannot be loaded.
        """
        place = _place(access, name)
        with self._lock:
            shared = self._sessions.get(place)
            if shared is None:
                module = self._module(access.module)
                shared = _Shared(TokenSession(module, place[1], login=access.login))
                self._sessions[place] = shared
            shared.users += 1
            return shared.session

    def release(self, access: Access, name: KeyName) -> None:
        """Give a session back."""
        place = _place(access, name)
        with self._lock:
            shared = self._sessions[place]
            shared.users -= 1
            if shared.users == 0:
                del self._sessions[place]
                shared.session.close()

    def _module(self, path: str) -> Module:
        if path not in self._modules:
            try:
                self._modules[path] = Module(path)
            except CryptokiError as exc:
                from .errors import translated

                raise translated(exc) from exc
        return self._modules[path]


def _place(access: Access, name: KeyName) -> Place:
    return access.module, name.of_token(), access.login


# Of the process, because a login to a token is: PKCS #11 counts it for all sessions of a process.
sessions = SharedSessions()
if hasattr(os, "register_at_fork"):
    # A session of the parent's must not be used in the child, and a lock that another thread of
    # the parent held would never be free there.
    os.register_at_fork(after_in_child=sessions.forget)
