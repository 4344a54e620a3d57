"""Read a file that must be an envelope."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..audit.events import emit
from ..envelope.codec import decode, looks_like_envelope
from ..errors import DecryptionError, EnvelopeError, RollbackError, StorageError
from .lock import LOCK_TIMEOUT_SECONDS, locked
from .reading import FileContent, read_file

__all__ = [
    "LOCK_TIMEOUT_SECONDS",
    "read_envelope",
    "read_settled_envelope",
    "reuse_envelope",
    "use_envelope",
]

_Result = TypeVar("_Result")


def read_envelope(path: str) -> FileContent:
    """Return the content of an envelope's file, read without its lock where that is enough.

    Raises:
        FileNotFoundError: There is no file.
        StorageError: It cannot be read, or is empty.
        EnvelopeError: It is no envelope, or a damaged one.
    """

    def parsed(found: FileContent) -> FileContent:
        decode(found.content)
        return found

    return use_envelope(path, parsed)


def use_envelope(path: str, use: Callable[[FileContent], _Result]) -> _Result:
    """Return what a function makes of an envelope's file, which is read without its lock.

    The caller has not seen the file before.

    Raises:
        FileNotFoundError: There is no file.
        StorageError: It cannot be read, or is empty.
        EnvelopeError: It is no envelope.
        KsmStorageError: What the function raises for the file as it is under its lock.
    """
    try:
        return reuse_envelope(path, use)
    except StorageError as exc:
        found = read_file(path)
        if not found.content or looks_like_envelope(found.content):
            raise
        from .not_sealed import not_sealed

        raise not_sealed(path, found.content) from exc


def reuse_envelope(path: str, use: Callable[[FileContent], _Result]) -> _Result:
    """Do the same for a file that was an envelope when the caller read it last.

    Raises:
        FileNotFoundError: There is no file.
        StorageError: It cannot be read, is empty, or another program wrote over it.
        KsmStorageError: What the function raises for the file as it is under its lock.
    """
    try:
        return _used(path, use)
    except EnvelopeError as exc:
        # Damage that shows before any key is tried, or an older revision; the rest is told where
        # it is opened.
        emit("refused", path=path, error=exc)
        raise


def _used(path: str, use: Callable[[FileContent], _Result]) -> _Result:
    seen: bytes | None = None
    try:
        found = read_settled_envelope(path)
        seen = found.content
        # The end of the journal may have been cut off between two of our reads: then the save is
        # done, and what was read of it is the version before.
        if not found.unfinished:
            return use(found)
    except (EnvelopeError, DecryptionError, StorageError):
        # Perhaps a save in place is going on, which is the one case in which a reader can see
        # half of it, even a half that parses and only fails its MAC. Whoever holds the lock sees
        # the file whole, or truly damaged.
        whole = _read_under_lock(path)
        if whole.content == seen:
            raise
        return _used_newest(path, whole, use)
    return _used_newest(path, _read_under_lock(path), use)


def _used_newest(path: str, whole: FileContent, use: Callable[[FileContent], _Result]) -> _Result:
    while True:
        try:
            return use(whole)
        except RollbackError:
            # The lock was let go of before this, so another process may have saved a newer
            # revision, and told it to the memory. It ends as soon as nobody does.
            newer = _read_under_lock(path)
            if newer.content == whole.content:
                raise
            whole = newer


def _read_under_lock(path: str) -> FileContent:
    with locked(path):
        return read_settled_envelope(path)


def read_settled_envelope(path: str) -> FileContent:
    """Return the content of an envelope's file; the caller holds its lock."""
    found = read_file(path)
    if looks_like_envelope(found.content):
        return found
    if not found.content:
        raise StorageError(
            f"{path!r} is empty: a save was interrupted before ksm-storage wrote it",
            hint="restore it from a backup",
        )
    raise StorageError(
        f"{path!r} is no longer an envelope: another program wrote over it",
        hint="restore it from a backup, or protect it again",
    )
