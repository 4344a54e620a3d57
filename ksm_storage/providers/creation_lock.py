"""Let one process at a time create a KEK in the OS keyring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StorageError
from ..storage.lock import locked

WAIT_SECONDS = 30.0


@contextmanager
def creating(name: str) -> Iterator[None]:
    """Hold the user's lock for the creation of the named KEK.

    Raises:
        StorageError: Another process holds it for too long, or the lock cannot be made.
    """
    folder = _state_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(
            f"cannot make the folder {str(folder)!r} for a lock: {exc.strerror}",
            hint="a new key is made under a lock in the user's state folder; make it writable",
        ) from exc
    with locked(str(folder / f"os-keyring-{name}.lock"), timeout_seconds=WAIT_SECONDS):
        yield


def _state_folder() -> Path:
    from platformdirs import user_state_path

    try:
        return user_state_path("ksm-storage", appauthor=False)
    except RuntimeError as exc:
        raise StorageError(
            "this user has no home for the lock under which a new key is made",
            hint="set HOME to a folder of this user",
        ) from exc
