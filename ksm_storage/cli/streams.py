"""The three standard streams, prepared so that every command may rely on them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ..errors import StorageError


class ReaderGoneError(Exception):
    """Report that the reader of stdout has closed it, as after ``| head``."""


def settle_streams() -> None:
    """Make the streams usable however they were opened, and let any file name through stdout.

    A closed stdin is an empty one, and what is written to a closed stderr is lost. Data that is
    written to a closed stdout is an error.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = _closed_stdout()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    # Not one that a caller put in its place, as a test does, and not twice.
    if type(sys.stdout) is io.TextIOWrapper:
        sys.stdout = _Stdout(sys.stdout)


class _Stdout(io.TextIOWrapper):
    """Write to another stdout's buffer; a failure is one of those that ``guard_stdout`` names.

    The help text is written by click, which knows neither of them.
    """

    def __init__(self, replaced: io.TextIOWrapper) -> None:
        super().__init__(
            _whole(replaced.buffer),
            encoding=replaced.encoding,
            # A file name need not be text. What prints it goes to a pipe as often as to a person,
            # and the bytes that the system gave are what the next program needs to find the file.
            errors="surrogateescape" if replaced.errors == "strict" else replaced.errors,
            line_buffering=replaced.line_buffering,
            write_through=replaced.write_through,
        )
        # Were it collected, it would close the buffer that both write to.
        self._replaced = replaced

    def write(self, text: str) -> int:
        with guard_stdout():
            return super().write(text)

    def flush(self) -> None:
        with guard_stdout():
            super().flush()


def _closed_stdout() -> io.TextIOWrapper:
    # Its number must be taken, or the next file that is opened would get it, and what a library
    # prints would go into that file. Opened for reading, it refuses what is written, as it should.
    nowhere = os.open(os.devnull, os.O_RDONLY)
    if nowhere != 1:
        os.dup2(nowhere, 1)
        os.close(nowhere)
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8")


def _whole(buffer: Any) -> Any:
    # With PYTHONUNBUFFERED it is the file itself, which may write less than it is given and say
    # so in a result that nobody looks at.
    return io.BufferedWriter(buffer) if isinstance(buffer, io.RawIOBase) else buffer


@contextmanager
def guard_stdout() -> Iterator[None]:
    """Turn a failure to write to stdout within the block into one of the errors below.

    Raises:
        ReaderGoneError: Its reader has closed it.
        StorageError: It cannot be written, for instance because the disk is full or the encoding
            lacks a character.
    """
    try:
        yield
    except BrokenPipeError:
        _abandon(sys.stdout)
        # click would take a BrokenPipeError for itself, and end with 1.
        raise ReaderGoneError from None
    except OSError as exc:
        _abandon(sys.stdout)
        raise StorageError(
            f"cannot write to standard output: {exc.strerror}",
            hint="the output is incomplete; discard it",
        ) from exc
    except UnicodeEncodeError as exc:
        # Not from it: it holds the text, which may be a secret that was asked for.
        raise StorageError(
            f"cannot write to standard output: characters missing from the encoding {exc.encoding}",
            hint="set PYTHONIOENCODING=utf-8, or use a UTF-8 locale",
        ) from None


@contextmanager
def guard_stderr() -> Iterator[None]:
    """Let a failure to write to stderr within the block pass: what was done is done."""
    try:
        yield
    except OSError:
        _abandon(sys.stderr)


def _abandon(stream: TextIO) -> None:
    # What could not be written is written again when the interpreter ends, which would complain.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
