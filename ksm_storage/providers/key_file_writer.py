"""Write a new key file for the provider ``key-file``."""

from __future__ import annotations

import os

from ..errors import StorageError
from .aes_gcm_wrapper import KEK_BYTES


def write_key_file(path: str | os.PathLike[str]) -> str:
    """Write 32 random bytes to a new file that only its owner can read; return its absolute path.

    The file is on the disk, and its name too, when this returns.

    Raises:
        StorageError: There is a file already, which is never overwritten, or it cannot be
            written; then none is left behind.
    """
    if not os.fspath(path):
        raise StorageError("the path of the key file is empty")
    absolute = os.path.abspath(path)
    try:
        # O_EXCL follows no symbolic link and fails if anything is there, even a dangling one.
        descriptor = os.open(absolute, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    except FileExistsError as exc:
        raise StorageError(
            f"{absolute!r} exists and is not overwritten",
            hint="what was sealed under a key opens with no other; choose another path",
        ) from exc
    except OSError as exc:
        raise _not_written(absolute, exc) from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEK_BYTES))
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(os.path.dirname(absolute))
    except OSError as exc:
        os.unlink(absolute)
        raise _not_written(absolute, exc) from exc
    return absolute


def _sync_folder(folder: str) -> None:
    if os.name != "posix":
        return  # Windows has no fsync of a folder; NTFS keeps names in its journal.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(path: str, exc: OSError) -> StorageError:
    return StorageError(
        f"cannot write the key file {path!r}: {exc.strerror}",
        hint="choose a path in a folder that exists and that you may write to",
    )


_BINARY = getattr(os, "O_BINARY", 0)
