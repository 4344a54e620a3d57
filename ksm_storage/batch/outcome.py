"""What became of one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import KsmStorageError


@dataclass(frozen=True, slots=True)
class Done:
    """Hold what was done to a file, or that nothing had to be.

    Attributes:
        result: One word or two for the closing table: ``sealed``, ``skipped``.
        printed: Lines of data, if the command has some for each file.
        said: Lines of speech.
        content: The same as data, for ``--json``.
        exit_code: Not 0 where what was found calls for attention, though nothing failed.
    """

    result: str
    printed: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    content: Mapping[str, Any] | None = None
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold a file's place among the files, its path and what became of it.

    ``done`` is None if it failed, with ``error``, or was not begun because of an interruption.
    """

    number: int
    path: str
    done: Done | None = None
    error: KsmStorageError | None = None
