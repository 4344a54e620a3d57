"""The files in a folder that are searched, within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch

from ..contract.redaction import shown_argument
from ..errors import StorageError
from .detection import text_encoding

MAX_BYTES = 4_194_304

_FOLDERS_LEFT_OUT = {".git", ".hg", ".svn"}
_BEGINNING = 8192
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Tree:
    """Read the text files of paths and of the folders below them.

    In folders, symbolic links and the folders of version control systems are skipped. Binary files
    are skipped, and files larger than ``MAX_BYTES``, which are listed.

    Attributes:
        read: How many files were searched.
        too_large: The paths of those that were skipped because of their size.
        unreadable: The paths of those that could not be opened, each with the reason.
    """

    def __init__(self, paths: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self._paths, self._exclude = paths, tuple(exclude)
        self.read = 0
        self.too_large: list[str] = []
        self.unreadable: list[tuple[str, str]] = []

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the path and bytes of each file, sorted within a folder.

        Raises:
            StorageError: A path that was given does not exist.
        """
        for path in self._paths:
            if not os.path.lexists(path):
                raise StorageError(f"{shown_argument(path)} does not exist", hint="check the path")
            yield from self._read_all(self._files(path))

    def _files(self, path: str) -> Iterator[str]:
        if not os.path.isdir(path):
            yield path
            return
        for folder, folders, names in os.walk(path, onerror=self._missed):
            folders[:] = sorted(
                name
                for name in folders
                if name not in _FOLDERS_LEFT_OUT
                and not is_excluded(os.path.join(folder, name), self._exclude)
            )
            found = (os.path.join(folder, name) for name in sorted(names))
            # The target of a link is found where it is. A link given as a path is followed.
            yield from (path for path in found if not os.path.islink(path))

    def _missed(self, error: OSError) -> None:
        self.unreadable.append((str(error.filename), error.strerror or "error"))

    def _read_all(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            if is_excluded(path, self._exclude):
                continue
            try:
                content = self._content(path)
            except OSError as exc:
                self._missed(OSError(exc.errno, exc.strerror, path))
                continue
            if content is not None:
                self.read += 1
                yield path, content

    def _content(self, path: str) -> bytes | None:
        with open(os.open(path, _FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            beginning = file.read(_BEGINNING)
            if is_binary(beginning):
                return None
            if status.st_size > MAX_BYTES:
                self.too_large.append(path)
                return None
            return beginning + file.read(MAX_BYTES)


def is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a path or its last name matches one of the patterns."""
    clean = os.path.normpath(path)
    return any(fnmatch(clean, p) or fnmatch(os.path.basename(clean), p) for p in patterns)


def is_binary(content: bytes) -> bool:
    """Tell whether a file with this beginning is not text."""
    beginning = content[:_BEGINNING]
    return b"\0" in beginning and text_encoding(beginning) is None
