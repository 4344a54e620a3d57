"""The files of a tree that are looked into, within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch

from ..errors import StorageError

MAX_BYTES = 4_194_304

_FOLDERS_LEFT_OUT = {".git", ".hg", ".svn"}
_BEGINNING = 8192
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Tree:
    """Give the text files of paths and the folders below them.

    Symbolic links are not followed in folders, nor the folders of version control entered.
    Binary files are left out, and those larger than ``MAX_BYTES``, which are counted.

    Attributes:
        read: How many files were looked into.
        too_large: Those that were not, because of their size.
        unreadable: Those that could not be opened, with the reason.
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
                raise StorageError(f"{path!r} does not exist")
            yield from self._read_all(self._files(path))

    def _files(self, path: str) -> Iterator[str]:
        if not os.path.isdir(path):
            yield path
            return
        for folder, folders, names in os.walk(path, onerror=self._missed):
            folders[:] = sorted(
                name
                for name in folders
                if name not in _FOLDERS_LEFT_OUT and not self._excluded(os.path.join(folder, name))
            )
            found = (os.path.join(folder, name) for name in sorted(names))
            # What a link leads to is found where it lies. A link that was named is followed.
            yield from (path for path in found if not os.path.islink(path))

    def _missed(self, error: OSError) -> None:
        self.unreadable.append((str(error.filename), error.strerror or "error"))

    def _excluded(self, path: str) -> bool:
        clean = os.path.normpath(path)
        return any(fnmatch(clean, p) or fnmatch(os.path.basename(clean), p) for p in self._exclude)

    def _read_all(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            if self._excluded(path):
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
            if _is_binary(beginning):
                return None
            if status.st_size > MAX_BYTES:
                self.too_large.append(path)
                return None
            return beginning + file.read(MAX_BYTES)


def _is_binary(beginning: bytes) -> bool:
    return b"\0" in beginning and not beginning.startswith((b"\xff\xfe", b"\xfe\xff"))
