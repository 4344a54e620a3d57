"""Replace a file durably: the old version or the new one, whole, at any moment."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable

from ..errors import StorageError
from .file_errors import cannot
from .in_place import write_in_place
from .reading import open_regular, read_all, read_file
from .replacement import Replacement
from .signature import NO_SIGNATURE, Signature, signature_of
from .sync import close_synced

# A folder in which we may not make a file, or a file that is itself a mount point.
_CANNOT_REPLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)


Verify = Callable[[bytes], None]


def accept(_content: bytes) -> None:
    """Accept what was staged unread: a save is sealed by who holds the DEK that opens it."""


def replace_file(
    path: str, new: bytes, *, mode: int | None = None, verify: Verify = accept
) -> Signature:
    """Replace the content of an existing file; the caller holds its lock.

    Owner, mode and extended attributes (access control lists among them) stay.

    Args:
        path: The file itself, no symbolic link.
        new: The whole new content.
        mode: Another mode for the file, or None to leave it.
        verify: Called with the new content as it was read back, before the old one goes; what
            it raises passes through, and the old content stands.

    Raises:
        StorageError: It could not be written; the old content stands.
    """
    _refuse_read_only(path)
    try:
        replacement = Replacement.of(path, new, mode=mode)
    except OSError as exc:
        verify(new)
        return _saved_in_place(path, new, exc, mode)
    with replacement:
        verify(_reread(replacement.path) if verify is not accept else new)
        try:
            replacement.commit()
        except OSError as exc:
            return _saved_in_place(path, new, exc, mode)
        return _signature_after_save(path)


def create_file(path: str, new: bytes, *, mode: int) -> Signature:
    """Write a file that does not exist yet; the caller holds its lock.

    Raises:
        StorageError: It could not be written; there is none.
    """
    try:
        with Replacement.of(path, new, mode=mode) as replacement:
            replacement.commit()
    except OSError as exc:
        raise cannot("write", path, exc) from exc
    return _signature_after_save(path)


def prove_writable(path: str) -> None:
    """Show that a file can be made at this path, and leave nothing behind; under its lock.

    Raises:
        StorageError: It cannot.
    """
    try:
        with Replacement.of(path, b"", mode=0o600):
            pass
    except OSError as exc:
        raise cannot("write", path, exc) from exc


def _refuse_read_only(path: str) -> None:
    # A rename would replace even a file that its owner made read-only.
    if os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return
    try:
        # It does not say why: a read-only file system is no missing permission.
        close_synced(open_regular(path, os.O_WRONLY))
    except OSError as exc:
        raise cannot("write", path, exc) from exc


def _saved_in_place(path: str, new: bytes, cause: OSError, mode: int | None) -> Signature:
    if cause.errno not in _CANNOT_REPLACE:
        raise cannot("write", path, cause) from cause
    try:
        descriptor = open_regular(path, os.O_RDWR)
    except OSError as exc:
        raise cannot("write", path, exc) from cause
    try:
        status = os.fstat(descriptor)
        if not status.st_nlink:
            raise StorageError(
                f"{path!r} was replaced where it is mounted from, and this is the old file",
                hint="mount its folder instead of the file itself, and start this program anew",
            )
        raw = read_all(descriptor, path, status)
        write_in_place(descriptor, raw, new)
        if mode is not None and hasattr(os, "fchmod"):
            # Only its owner may do this, and the content is sealed in any case.
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, mode)
        return _signature_after_save(descriptor)
    except OSError as exc:
        raise cannot("write", path, exc) from exc
    finally:
        close_synced(descriptor)


def _signature_after_save(file: str | int) -> Signature:
    try:
        return signature_of(os.stat(file))
    except OSError:
        # The save is done and must not be reported as failed: the next read looks again.
        return NO_SIGNATURE


def _reread(path: str) -> bytes:
    try:
        return read_file(path).content
    except FileNotFoundError as exc:
        raise StorageError(f"the staged copy {path!r} was removed by another program") from exc
