"""A storage over an envelope in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import StorageError
from .encrypted import Change, Config, EncryptedStorage
from .envelope_file import read_settled_envelope, reuse_envelope
from .lock import locked
from .open_policy import OpenPolicy
from .reading import FileContent, resolved
from .state import State, opened_state, reread_state

if TYPE_CHECKING:
    from ..envelope.sealing import NewDek


class SealedFile(EncryptedStorage):
    """Keep a configuration in an envelope on disk.

    A read costs one ``stat``; a save calls no key service. Another process's save is seen by the
    next read, and a change is applied to what the file holds then, so that no process undoes
    what another one set.
    """

    def __init__(
        self,
        path: str,
        policy: OpenPolicy,
        *,
        state: State | None,
        new: NewDek | None = None,
        profile: str | None = None,
    ) -> None:
        super().__init__()
        self._path = path
        self._policy = policy
        self._profile = profile
        self._state = state
        # Wrapped and waiting for the first change, while there is no file yet.
        self._new = new

    def _current(self) -> Mapping[str, str]:
        state = self._state
        try:
            status = os.stat(self._path)
        except OSError as exc:
            if state is None and isinstance(exc, FileNotFoundError):
                return {}
            raise _gone(self._path, exc) from exc
        if state is not None and state.signature is not None and state.signature.still(status):
            return state.config
        with self._turns.refresh:
            self._state = reuse_envelope(resolved(self._path), self._reread)
            # Another process made the file between our opening and our first change.
            self._new = None
            return self._state.config

    def _saved(self, change: Change) -> Config:
        path = resolved(self._path)
        with self._turns.refresh, locked(path):
            try:
                found = read_settled_envelope(path)
            except FileNotFoundError as exc:
                if self._state is not None:
                    raise _gone(self._path, exc) from exc
                return self._created(path, change)
            state = self._state = self._reread(found)
            self._new = None
            config = dict(state.config)
            change(config)
            if config != state.config:
                self._state = self._replaced(path, state, config)
            return dict(config)

    def _created(self, path: str, change: Change) -> Config:
        # Loaded with the first change: a process that only reads needs none of it.
        from .saving import create

        if self._new is None:
            raise StorageError(f"{self._path!r} does not exist")
        config: Config = {}
        change(config)
        self._state = create(path, self._new, config)
        self._policy.saved(self._state.envelope.header)
        self._new = None
        return config

    def _replaced(self, path: str, state: State, config: Config) -> State:
        from .saving import save

        saved = save(path, state, config)
        self._policy.saved(saved.envelope.header)
        return saved

    def _reread(self, found: FileContent) -> State:
        state = self._state
        if state is None:
            return opened_state(
                found.content,
                self._policy,
                profile=self._profile,
                signature=found.signature,
                path=self._path,
            )
        return reread_state(
            found.content,
            state,
            self._policy,
            profile=self._profile,
            signature=found.signature,
            path=self._path,
        )

    def __repr__(self) -> str:
        state = self._state
        if state is None:
            return f"<SealedFile {self._path!r}, not yet written>"
        header = state.envelope.header
        keys = ", ".join(str(recipient.key) for recipient in header.recipients)
        return f"<SealedFile {self._path!r}, revision {header.revision}, under {keys}>"


def _gone(path: str, exc: OSError) -> StorageError:
    return StorageError(
        f"cannot read {path!r}: {exc.strerror}",
        hint="the file was there before: restore it; nothing is written in its place",
    )
