"""The sealed file that a command works on, and how it may be opened."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import StorageError
from .options import (
    Command,
    Settings,
    path_argument,
    profile_option,
    setting_option,
    time_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..storage.encrypted_storage import EncryptedStorage
    from ..storage.open_policy import OpenPolicy


@dataclass(frozen=True, slots=True)
class SealedFile:
    """Hold the PATH of a file that must exist and be sealed, with the options to open it."""

    path: str
    profile: str | None
    trust: Sequence[str]
    settings: Settings
    timeout: float | None
    hedge: float | None

    def open(self) -> EncryptedStorage:
        """Open the file.

        Raises:
            StorageError: It does not exist.
            EnvelopeError: It is not sealed.
        """
        from ..files.reading import resolved
        from ..storage.snapshot import read_envelope
        from ..storage.sources import open_storage

        # With keys, open_storage would create a missing file and protect a plain one. A command
        # that names trusted keys means neither.
        if not os.path.lexists(self.path):
            raise StorageError(f"{self.path!r} does not exist")
        read_envelope(resolved(self.path))
        return open_storage(
            self.path,
            keys=self.trust or None,
            settings=self.settings,
            profile=self.profile,
            timeout=self.timeout,
            hedge=self.hedge,
        )

    def policy(self) -> OpenPolicy:
        """Return which keys may open the file, and how."""
        from ..storage.open_policy import OpenPolicy

        trust = OpenPolicy.from_args(self.trust or None, None, self.settings)
        return trust.with_timeout(self.timeout, self.hedge)


def sealed_file_options(command: Command) -> Command:
    """Add PATH and all options of :class:`SealedFile`, and pass them on as ``file``."""

    @functools.wraps(command)
    def gathered(
        *,
        path: str,
        profile: str | None,
        trust: tuple[str, ...],
        settings: Settings,
        timeout: float | None,
        hedge: float | None,
        **others: object,
    ) -> Any:
        file = SealedFile(path, profile, trust, settings, timeout, hedge)
        return command(file=file, **others)

    result: Command = gathered
    for option in (time_options, setting_option, trust_option, profile_option, path_argument):
        result = option(result)
    return result
