"""The lines of an audit file, read one at a time."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import StorageError

# Longer than any event; what follows in a line is read as another one, and reported.
_LONGEST_LINE = 1_048_576


def audit_lines(path: str) -> Iterator[bytes]:
    """Yield the lines of the file with their newlines.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            while line := file.readline(_LONGEST_LINE):
                yield line
    except OSError as exc:
        raise StorageError(f"cannot read {path!r}: {exc.strerror}") from exc
