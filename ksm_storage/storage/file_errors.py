"""One error for each way in which the operating system refuses a file."""

from __future__ import annotations

import errno

from ..errors import StorageError

_HINTS = {
    errno.EACCES: "the user of this process needs the right to it; see 'ls -l'",
    errno.EPERM: "the file may be immutable ('lsattr') or belong to another user",
    errno.EROFS: "mount the file system for writing, or keep the file elsewhere",
    errno.ENOSPC: "free some space; the old content stands",
    errno.EDQUOT: "the user's quota is used up; the old content stands",
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "a part of the path is a file and no folder",
}


def cannot(what: str, path: str, exc: OSError) -> StorageError:
    """Return the error for a file that cannot be read or written, with advice if there is some."""
    return StorageError(
        f"cannot {what} {path!r}: {exc.strerror}",
        hint=_HINTS.get(exc.errno or 0),
    )
