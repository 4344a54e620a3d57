"""The built-in sink: a file of hash-chained JSON lines, appended to by several processes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager

from ..contract.hookspecs import hookimpl
from ..errors import StorageError
from ..files.lock import locked_by_sidecar, locked_descriptor
from ..files.reading import file_error
from .chain import START, Link, chained_line, read_line

# Short, because an application waits: it must not hang on whoever holds the audit file.
WAIT_SECONDS = 5.0

# More than the longest event: 32 key URIs of 2048 characters, and a path.
_TAIL_BYTES = 262_144
_MODE = 0o600
_FLAGS = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    # A FIFO at this path would hang the process at the open.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class FileSink:
    """Append each event to one file, after the last line that any process wrote."""

    def __init__(self, path: str) -> None:
        self._path = path

    @hookimpl
    def audit_event(self, event: Mapping[str, object]) -> None:
        """Append the event.

        Raises:
            StorageError: The file cannot be opened, locked or written, or its last line is not an
                event.
        """
        try:
            while not self._appended(event):
                pass
        except OSError as exc:
            raise StorageError(
                f"cannot write the audit file {self._path!r}: {exc.strerror}",
                hint=file_error("write", self._path, exc).hint,
            ) from exc

    def _appended(self, event: Mapping[str, object]) -> bool:
        descriptor = os.open(self._path, _FLAGS, _MODE)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError(
                    f"the audit file {self._path!r} is not a regular file",
                    hint="name a file, or remove what is in its place",
                )
            with _locked(descriptor, self._path):
                if not _still_names(self._path, descriptor):
                    # A log rotation moved the file away while we waited.
                    return False
                _append(descriptor, event, self._path)
                return True
        finally:
            os.close(descriptor)


def _append(descriptor: int, event: Mapping[str, object], path: str) -> None:
    size = os.fstat(descriptor).st_size
    last, torn = _last_link(descriptor, size, path)
    line = (b"\n" if torn else b"") + chained_line(event, last)
    try:
        written = os.write(descriptor, line)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    if written != len(line):
        os.ftruncate(descriptor, size)
        raise StorageError(f"cannot write the audit file {path!r}: the disk is full")


def _last_link(descriptor: int, size: int, path: str) -> tuple[Link, bool]:
    """Return the last link, and whether an incomplete line follows that a crash left."""
    start = max(0, size - _TAIL_BYTES)
    os.lseek(descriptor, start, os.SEEK_SET)
    *lines, rest = os.read(descriptor, size - start).split(b"\n")
    if not lines:
        if start:
            raise StorageError(f"{path!r} is not an audit file: its last line is too long")
        return START, bool(rest)
    line = read_line(lines[-1])
    if line is None:
        raise StorageError(f"{path!r} is not an audit file, or its last line is damaged")
    return line.link, bool(rest)


def _still_names(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _locked(descriptor: int, path: str) -> AbstractContextManager[None]:
    # Looked up at each call: a test that waits for a holder sets a shorter time.
    if sys.platform == "win32":
        return locked_by_sidecar(path, WAIT_SECONDS)
    return locked_descriptor(descriptor, f"the audit file {path!r}", timeout_seconds=WAIT_SECONDS)
