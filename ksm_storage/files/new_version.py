"""What makes a new version of a file count: the old one's owner and attributes, and the medium.

Here too: the folders that a new file needs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading

from .reading import descriptors

UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

_ACCESS_LISTS = ("system.posix_acl_", "system.nfs4_acl")


def take_after(target: str, descriptor: int, mode: int | None) -> None:
    """Give a new file the owner, mode and attributes of the target, or the given mode.

    Raises:
        OSError: It cannot have them; the caller saves in place, which keeps them.
    """
    try:
        status = os.stat(target)
    except FileNotFoundError:
        status = None
    if status is not None:
        _keep_owner(status, descriptor)
        _keep_attributes(target, descriptor)
    if hasattr(os, "fchmod"):
        wanted = mode if mode is not None or status is None else stat.S_IMODE(status.st_mode)
        _set_mode(descriptor, 0o600 if wanted is None else wanted)


def _set_mode(descriptor: int, mode: int) -> None:
    try:
        os.fchmod(descriptor, mode)
    except OSError as exc:
        # A mount with one mode for all its files refuses even that mode.
        is_refused = exc.errno in (errno.EPERM, *UNSUPPORTED)
        if not is_refused or stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            raise


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
        if name.startswith((*_ACCESS_LISTS, "user.", "security.selinux")):
            _keep_attribute(name, os.getxattr(target, name), descriptor)


def _keep_attribute(name: str, value: bytes, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        if os.getxattr(descriptor, name) == value:
            return
    try:
        os.setxattr(descriptor, name, value)
    except OSError as exc:
        # Without its access control list the file would be open to its group by the list's mask:
        # it is saved in place instead, as it is where a security label is refused.
        if exc.errno not in UNSUPPORTED or name.startswith(_ACCESS_LISTS):
            raise


def make_private_folder(path: str) -> None:
    """Create a folder with mode 0700, and each missing one above it with the same mode.

    Raises:
        OSError: It cannot be created.
    """
    # os.makedirs gives these the mode of the umask: with umask 0 others could replace ours.
    parent = os.path.dirname(path)
    if parent not in ("", path) and not os.path.exists(parent):
        make_private_folder(parent)
    try:
        os.mkdir(path, 0o700)
    except OSError:
        if not os.path.isdir(path):
            raise


def sync_file(descriptor: int) -> None:
    """Return once the file's content and size are on the medium."""
    if sys.platform == "darwin":
        import fcntl

        # fsync on macOS leaves the data in the drive's own cache.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_folder(folder: str) -> None:
    """Return once the names in the folder are on the medium; nothing to do on Windows.

    Threads that come while the folder is being synced wait for one more sync, which is theirs
    together: it begins after each of their changes.
    """
    if sys.platform == "win32":
        return
    syncs = _syncs_by_process.get(os.getpid()) or _syncs_by_process.setdefault(
        os.getpid(), _FolderSyncs()
    )
    syncs.sync(folder)


class _FolderSync:
    """One sync of a folder, for all who asked for it before it began."""

    __slots__ = ("ended", "error")

    def __init__(self) -> None:
        self.ended = False
        self.error: OSError | None = None


class _FolderSyncs:
    """Sync each folder at most once at a time."""

    def __init__(self) -> None:
        # Reentrant: a signal handler that saves a file runs in the thread that it interrupts.
        self._lock = threading.RLock()
        self._next: dict[str, _FolderSync] = {}
        # A few for all folders: one for each would have to be forgotten again.
        self._turns = tuple(threading.RLock() for _ in range(16))

    def sync(self, folder: str) -> None:
        with self._lock:
            mine = self._next.setdefault(folder, _FolderSync())
        with self._turns[hash(folder) % len(self._turns)]:
            if not mine.ended:
                self._run(mine, folder)
        if mine.error is not None:
            # A new one each time: threads must not share a traceback.
            raise OSError(mine.error.errno, mine.error.strerror, folder) from mine.error

    def _run(self, mine: _FolderSync, folder: str) -> None:
        with self._lock:
            # Whoever comes from here on has changed the folder after this sync began.
            if self._next.get(folder) is mine:
                self._next.pop(folder, None)
        try:
            with descriptors() as held:
                os.fsync(held.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as exc:
            mine.error = exc
        mine.ended = True


# By process id: a child that was forked while a thread held a lock must not wait for it.
_syncs_by_process: dict[int, _FolderSyncs] = {}
