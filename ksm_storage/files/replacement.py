"""Replace a file durably: the old version or the new one, whole, at any moment.

A new version is written beside the file, synced and renamed over it. A file that is bind-mounted
into a container, or lies in a folder where we may not write, cannot be replaced by a rename. Then
the new version is first written *behind* the old one, with a gap of at least one NUL byte and a
footer that holds its length and SHA-256, and synced: from here on the save is done. After that
the new version is written to the start of the file, and the rest is cut off.

::

    old version | NUL ... NUL | new version | footer

A reader that finds a NUL byte takes the new version if the footer is whole, else the old one. An
envelope followed by anything that an interrupted save cannot have left is damaged.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from types import TracebackType

from ..errors import StorageError
from .new_version import UNSUPPORTED, sync_file, sync_folder, take_after
from .reading import (
    NO_SIGNATURE,
    Descriptors,
    Signature,
    descriptors,
    file_error,
    open_regular,
    read_all,
    read_file,
    settled_content,
    sha256_hex,
    signature_of,
)

NEW_FILE_MODE = 0o600

# A folder in which we may not make a file, or a file that is itself a mount point.
# Likewise a file system that cannot give a new file the old one's mode or access control list.
_CANNOT_REPLACE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EBUSY,
    errno.EXDEV,
    *UNSUPPORTED,
)
# A folder that cannot be opened for reading, or a file system that syncs no folders.
_CANNOT_SYNC_FOLDER = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EBADF, *UNSUPPORTED)

_MAX_NAME_BYTES = 255
_RANDOM_BYTES = 8
_SUFFIX = ".ksm-tmp"


Verify = Callable[[bytes], None]


def accept(_content: bytes) -> None:
    """Accept the staged content unread: a save is sealed with the DEK that opens it."""


def replace_file(
    path: str, new: bytes, *, mode: int | None = None, verify: Verify = accept
) -> Signature:
    """Replace the content of an existing file; the caller holds its lock.

    Owner, mode, access control lists, the SELinux label and the user's attributes stay.

    Args:
        path: The file itself, no symbolic link.
        new: The whole new content.
        mode: Another mode for the file, or None to keep its mode.
        verify: Called with the new content as it was read back, before the old one is replaced;
            what it raises passes through, and the old content is unchanged.

    Raises:
        StorageError: It could not be written, and the old content is unchanged; or it was, and
            its folder cannot be synced.
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


def create_file(path: str, new: bytes, *, mode: int = NEW_FILE_MODE) -> Signature:
    """Write a file that does not exist yet; the caller holds its lock.

    Raises:
        StorageError: It could not be written; no file was created.
    """
    try:
        with Replacement.of(path, new, mode=mode) as replacement:
            replacement.commit()
    except OSError as exc:
        raise file_error("write", path, exc) from exc
    return _signature_after_save(path)


def create_unlocked(path: str, content: bytes) -> bool:
    """Create a private file that is whole from the moment it has a name; no lock is needed.

    When this returns true, the file and its name are on disk. False means that nothing was
    written: something is there, or this system cannot make a file without a name.

    Raises:
        StorageError: The file is there and may not survive a loss of power.
    """
    if not hasattr(os, "O_TMPFILE") or os.path.lexists(path):
        return False
    with descriptors() as held:
        try:
            descriptor = held.open(
                os.path.dirname(path), os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, NEW_FILE_MODE
            )
            _write_all(descriptor, content)
            sync_file(descriptor)
            # With a folder's descriptor it is linkat, which follows the link in /proc; link does
            # not. An absolute path is not looked up in that folder.
            os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
        except OSError:
            return False
    _sync_folder_of(path, "created")
    return True


def write_new_file(path: str, content: bytes) -> None:
    """Write a private file that must not exist; when this returns, it and its name are on disk.

    Raises:
        FileExistsError: Something is there, even a dangling link; it is never overwritten.
        OSError: It could not be written; a partial file is removed.
    """
    with descriptors() as held:
        # No lock is needed: nobody else can create it too.
        descriptor = held.open(path, _CREATE, NEW_FILE_MODE)
        try:
            _write_all(descriptor, content)
            sync_file(descriptor)
            held.close()
            sync_folder(os.path.dirname(path))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise


def prove_writable(path: str) -> None:
    """Show that a file can be created at this path, and leave nothing behind; under its lock.

    Raises:
        StorageError: It cannot.
    """
    try:
        with Replacement.of(path, b"", mode=0o600):
            pass
    except OSError as exc:
        raise file_error("write", path, exc) from exc


def _refuse_device(path: str) -> None:
    """Refuse to put a file in the place of a device, a pipe or a socket.

    Raises:
        OSError: The path is one of these; a folder is left to the system to refuse.
    """
    # Root may rename over /dev/null, and then every program of the machine writes to our file.
    with contextlib.suppress(FileNotFoundError):
        if stat.S_IFMT(os.lstat(path).st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise OSError(errno.EINVAL, "not a regular file", path)


def _refuse_read_only(path: str) -> None:
    # A rename would replace even a file that its owner made read-only.
    if os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return
    with descriptors() as held:
        try:
            # It does not say why: a read-only file system is not a missing permission.
            open_regular(held, path, os.O_WRONLY)
        except OSError as exc:
            raise file_error("write", path, exc) from exc


def _saved_in_place(path: str, new: bytes, cause: OSError, mode: int | None) -> Signature:
    if cause.errno not in _CANNOT_REPLACE:
        raise file_error("write", path, cause) from cause
    # What is written is synced, so that a failure to close means nothing.
    with descriptors() as held:
        try:
            descriptor = open_regular(held, path, os.O_RDWR)
        except OSError as exc:
            raise file_error("write", path, exc) from cause
        try:
            return _write_opened(descriptor, path, new, mode)
        except OSError as exc:
            raise file_error("write", path, exc) from exc


def _write_opened(descriptor: int, path: str, new: bytes, mode: int | None) -> Signature:
    status = os.fstat(descriptor)
    if not status.st_nlink:
        raise StorageError(
            f"{path!r} was replaced on the host, and this mount still shows the old file",
            hint="mount its folder instead of the file, then restart this program",
        )
    raw = read_all(descriptor, path, status)
    write_in_place(descriptor, raw, new)
    if mode is not None and hasattr(os, "fchmod"):
        # Only its owner may do this, and the content is sealed in any case.
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, mode)
    return _signature_after_save(descriptor)


def write_in_place(descriptor: int, raw: bytes, new: bytes) -> None:
    """Save a new version into an open file whose current bytes are given.

    The caller holds the file's lock.

    Raises:
        OSError: The old version is unchanged.
    """
    settled = settled_content(raw)
    if settled != raw:
        _settle(descriptor, settled)
    start = max(len(settled), len(new)) + 1
    try:
        _write_at(descriptor, new + _footer(new), start)
        sync_file(descriptor)
    except OSError:
        os.ftruncate(descriptor, len(settled))
        raise
    _finish(descriptor, new)


def _finish(descriptor: int, new: bytes) -> None:
    # The save is done: every reader takes the version before the footer, and the next writer
    # moves it to the start.
    with contextlib.suppress(OSError):
        _settle(descriptor, new)


def _footer(new: bytes) -> bytes:
    return f"\nksm-storage journal {len(new):010d} {sha256_hex(new)}\n".encode("ascii")


def _settle(descriptor: int, content: bytes) -> None:
    _write_at(descriptor, content, 0)
    sync_file(descriptor)
    os.ftruncate(descriptor, len(content))
    sync_file(descriptor)


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    os.lseek(descriptor, offset, os.SEEK_SET)
    _write_all(descriptor, content)


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
        raise StorageError(f"another program removed the staged copy {path!r}") from exc


class Replacement:
    """Hold a private file with the new content until it is committed or discarded.

    Used as a context manager it leaves nothing behind that was not committed. The caller holds
    the lock of the target, so that any other file of the same name is left over from a crash.
    """

    def __init__(self, target: str, temporary: str) -> None:
        self._target = target
        self.path = temporary
        self._committed = False

    @classmethod
    def of(cls, target: str, content: bytes, *, mode: int | None) -> Replacement:
        """Write and sync the content beside the target.

        Args:
            target: The file to replace; it need not exist if a mode is given.
            content: The whole new content.
            mode: The new file's mode, or None for the target's own.

        Raises:
            OSError: It could not be written, or not with the target's owner and attributes;
                nothing is left behind.
        """
        _refuse_device(target)
        folder, name = os.path.split(target)
        with descriptors() as held:
            temporary, descriptor = _created(held, folder, name)
            replacement = cls(target, temporary)
            try:
                _write_all(descriptor, content)
                take_after(target, descriptor, mode)
                sync_file(descriptor)
                held.close()
            except BaseException:
                replacement.discard()
                raise
        return replacement

    def commit(self) -> None:
        """Put the new version in the target's place and make that durable.

        Raises:
            OSError: The old version stands.
            StorageError: The new version stands and may not survive a loss of power.
        """
        os.replace(self.path, self._target)
        self._committed = True
        _sync_folder_of(self._target, "replaced")

    def discard(self) -> None:
        """Remove the new version unless it was committed."""
        if not self._committed:
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def __enter__(self) -> Replacement:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def _sync_folder_of(path: str, done: str) -> None:
    try:
        sync_folder(os.path.dirname(path))
    except OSError as exc:
        if exc.errno not in _CANNOT_SYNC_FOLDER:
            raise StorageError(
                f"{path!r} was {done}, but its folder cannot be synced: {exc.strerror}",
                hint="check the disk: after a loss of power the old version may be back",
            ) from exc


def _created(held: Descriptors, folder: str, name: str) -> tuple[str, int]:
    # One name per target, so that what a killed writer left is found without listing the folder.
    # O_EXCL and O_NOFOLLOW make a predictable name safe: nothing that lies there is ever opened.
    if len(os.fsencode(name)) > _MAX_NAME_BYTES - len(f"..{_SUFFIX}") - 2 * _RANDOM_BYTES:
        name = sha256_hex(os.fsencode(name))
    temporary = os.path.join(folder, f".{name}{_SUFFIX}")
    for _ in range(2):
        with contextlib.suppress(FileExistsError):
            return temporary, held.open(temporary, _CREATE)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    # Somebody else's file in a folder that all may write to: they cannot stop us this way.
    temporary = os.path.join(folder, f".{name}.{os.urandom(_RANDOM_BYTES).hex()}{_SUFFIX}")
    return temporary, held.open(temporary, _CREATE)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


_CREATE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
