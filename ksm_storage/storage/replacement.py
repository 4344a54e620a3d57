"""A new version of a file, written and synced beside it, ready to take its place."""

from __future__ import annotations

import contextlib
import os
import stat
from types import TracebackType

from .sync import sync_file, sync_folder

_RANDOM_BYTES = 8
_SUFFIX = ".ksm-tmp"


class Replacement:
    """Hold a private file with the new content until it is committed or given up.

    Used as a context manager it leaves nothing behind that was not committed. The caller holds
    the lock of the target, so that any other file of the same form is left from a crash.
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
        folder, name = os.path.split(target)
        temporary, descriptor = _created(folder, name)
        replacement = cls(target, temporary)
        try:
            try:
                _write_all(descriptor, content)
                _take_after(target, descriptor, mode)
                sync_file(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            replacement.discard()
            raise
        return replacement

    def commit(self) -> None:
        """Put the new version in the target's place and make that durable.

        Raises:
            OSError: The old version stands.
        """
        os.replace(self.path, self._target)
        self._committed = True
        # After the rename the new version is what everybody sees; a folder that cannot be synced
        # (some network file systems) does not make the save undone.
        with contextlib.suppress(OSError):
            sync_folder(os.path.dirname(self._target))

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


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _take_after(target: str, descriptor: int, mode: int | None) -> None:
    try:
        status = os.stat(target)
    except FileNotFoundError:
        status = None
    if status is not None:
        _keep_owner(status, descriptor)
        _keep_attributes(target, descriptor)
    if hasattr(os, "fchmod"):
        wanted = mode if mode is not None or status is None else stat.S_IMODE(status.st_mode)
        os.fchmod(descriptor, 0o600 if wanted is None else wanted)


def _keep_owner(status: os.stat_result, descriptor: int) -> None:
    mine = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (mine.st_uid, mine.st_gid) and hasattr(os, "fchown"):
        # EPERM here makes the caller save in place, which keeps the owner.
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _keep_attributes(target: str, descriptor: int) -> None:
    if not hasattr(os, "listxattr"):
        return
    try:
        names = os.listxattr(target)
    except OSError:
        return
    for name in names:
        if name.startswith(("system.posix_acl_", "user.")):
            os.setxattr(descriptor, name, os.getxattr(target, name))


def _created(folder: str, name: str) -> tuple[str, int]:
    # One name per target, so that what a killed writer left is found without listing the folder.
    # O_EXCL and O_NOFOLLOW make a predictable name safe: nothing that lies there is ever opened.
    temporary = os.path.join(folder, f".{name}{_SUFFIX}")
    with contextlib.suppress(OSError):
        os.unlink(temporary)
    try:
        return temporary, os.open(temporary, _CREATE, 0o600)
    except FileExistsError:
        # Somebody else's file in a folder that all may write to: they cannot stop us this way.
        temporary = os.path.join(folder, f".{name}.{os.urandom(_RANDOM_BYTES).hex()}{_SUFFIX}")
        return temporary, os.open(temporary, _CREATE, 0o600)


_CREATE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
