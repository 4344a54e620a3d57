"""Give a new file what the file that it replaces has beside its content."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

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
