"""Open a sealed file that must exist already, for commands that change or show values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..errors import StorageError
from ..storage.encrypted import EncryptedStorage
from ..storage.envelope_file import read_envelope
from ..storage.opening import open_storage
from ..storage.reading import resolved


def open_existing(
    path: str,
    keys: Sequence[str],
    settings: Mapping[str, Mapping[str, object]],
    profile: str | None,
    *,
    timeout: float | None = None,
    hedge: float | None = None,
) -> EncryptedStorage:
    """Open an envelope; a missing or plain file is refused even if keys are given.

    Raises:
        StorageError: There is no such file, or it is no envelope.
    """
    # With keys, open_storage would make a missing file and protect a plain one. A command that
    # names keys to trust means neither.
    if not os.path.lexists(path):
        raise StorageError(f"{path!r} does not exist")
    read_envelope(resolved(path))
    return open_storage(
        path,
        keys=keys or None,
        settings=settings,
        profile=profile,
        timeout=timeout,
        hedge=hedge,
    )
