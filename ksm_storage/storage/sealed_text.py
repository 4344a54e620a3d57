"""A read-only storage over an envelope that is in no file."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import StorageError
from .encrypted import Change, Config, EncryptedStorage
from .sources import ENVELOPE_VARIABLE
from .state import State


class SealedText(EncryptedStorage):
    """Show the configuration of an envelope from the environment; refuse to change it."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def _current(self) -> Mapping[str, str]:
        return self._state.config

    def _saved(self, change: Change) -> Config:
        config = dict(self._state.config)
        change(config)
        if config == self._state.config:
            return config
        raise StorageError(
            f"the configuration from ${ENVELOPE_VARIABLE} cannot be changed",
            hint="bind and change it where it lies in a file, then set the variable anew",
        )

    def __repr__(self) -> str:
        return f"<SealedText, revision {self._state.envelope.header.revision}>"
