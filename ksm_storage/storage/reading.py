"""Read a file whole, whatever lies at its path."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from ..errors import StorageError
from .file_errors import cannot
from .signature import Signature, signature_of
from .sources import refuse_configuration
from .sync import close_synced

MAX_READ_BYTES = 8_388_608


class FileContent(NamedTuple):
    """Hold what a file said, and what to compare to see whether it changed since.

    Attributes:
        content: The version that the file holds.
        signature: What its status says of that version.
        status: Its status.
        unfinished: Whether a save in place has begun and not ended. Without the lock the content
            may then be older than what another read has seen.
    """

    content: bytes
    signature: Signature
    status: os.stat_result
    unfinished: bool = False


def resolved(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of the file itself, symbolic links followed.

    Raises:
        StorageError: The last link leads to nothing, or the links form a circle; or it is no
            path, but a configuration.
    """
    text = os.fspath(path)
    if "\0" in text or not text:
        raise StorageError("the path of the configuration is empty or holds a NUL byte")
    refuse_configuration(text)
    real = os.path.realpath(text)
    if os.path.islink(text) and not os.path.exists(real):
        raise StorageError(
            f"{text!r} is a symbolic link to nothing",
            hint="remove the link, or restore the file that it names",
        )
    return real


def read_file(path: str) -> FileContent:
    """Return the current version of a file.

    Raises:
        FileNotFoundError: There is none; for the caller to decide what that means.
        StorageError: It cannot be read, is no regular file, or too large.
    """
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        raw = read_all(descriptor, path, status)
    except OSError as exc:
        raise cannot("read", path, exc) from exc
    finally:
        close_synced(descriptor)
    if b"\0" in raw:
        # Loaded for a file that is no text only: each start reads one that is.
        from .in_place import settled_content

        settled = settled_content(raw)
        unfinished = raw.startswith(settled + b"\0")
        return FileContent(settled, signature_of(status), status, unfinished)
    return FileContent(raw, signature_of(status), status)


def open_regular(path: str, access: int) -> int:
    """Open a file that may turn out to be none; the caller reads it with :func:`read_all`."""
    try:
        # Without O_NONBLOCK a FIFO at this path would hang the process.
        return os.open(path, access | _FLAGS)
    except FileNotFoundError:
        raise
    except OSError as exc:
        if access != os.O_RDONLY:
            raise
        raise cannot("read", path, exc) from exc


def read_all(descriptor: int, path: str, status: os.stat_result) -> bytes:
    """Return all bytes of an open file.

    Raises:
        StorageError: It is no regular file, too large, or cannot be read.
    """
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{path!r} is not a regular file")
    parts: list[bytes] = []
    size = 0
    try:
        while part := os.read(descriptor, 65_536):
            parts.append(part)
            size += len(part)
            if size > MAX_READ_BYTES:
                raise StorageError(f"{path!r} is larger than {MAX_READ_BYTES} bytes")
    except OSError as exc:
        raise cannot("read", path, exc) from exc
    return b"".join(parts)


_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
