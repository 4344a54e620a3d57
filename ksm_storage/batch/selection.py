"""Which files a command processes: paths, globs and lists of paths."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from ..contract.redaction import shown_argument
from ..errors import StorageError

STDIN = "-"


def selected_paths(paths: Sequence[str], lists: Sequence[str]) -> Iterator[str]:
    """Yield each path in the order given; a list is read as its paths are used.

    Args:
        paths: Paths, or globs where no file has exactly that name; ``**`` matches folders. A glob
            that matches nothing is yielded as it is, and fails when it is opened.
        lists: Files with one path per line, ``-`` for standard input; empty lines are skipped.

    Raises:
        StorageError: A list cannot be read.
    """
    for path in paths:
        yield from _expanded(path)
    for name in lists:
        yield from _listed(name)


def is_one_file(paths: Sequence[str], lists: Sequence[str]) -> bool:
    """Tell whether exactly one file is named, and not by a glob or a list."""
    return len(paths) == 1 and not lists and not _is_glob(paths[0])


def _is_glob(path: str) -> bool:
    return glob.has_magic(path) and not os.path.lexists(path)


def _expanded(path: str) -> Iterable[str]:
    if not _is_glob(path):
        return [path]
    return sorted(glob.glob(path, recursive=True)) or [path]


def _listed(name: str) -> Iterator[str]:
    try:
        if name == STDIN:
            yield from _lines(sys.stdin.buffer)
        else:
            with open(name, "rb") as file:
                yield from _lines(file)
    except OSError as exc:
        raise StorageError(f"cannot read the list {shown_argument(name)}: {exc.strerror}") from exc


def _lines(file: Iterable[bytes]) -> Iterator[str]:
    for line in file:
        path = line.rstrip(b"\r\n")
        if path:
            yield os.fsdecode(path)
