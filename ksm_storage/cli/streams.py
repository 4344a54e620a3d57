"""The three standard streams, made such that every command may rely on them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StorageError


class ReaderGoneError(Exception):
    """Report that nobody reads stdout any more, as after ``| head``."""


def settle_streams() -> None:
    """Open the streams that are closed on nothing, and let any file name pass through stdout."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    # A file name need not be text. What prints it goes to a pipe as often as to a person, and
    # the bytes that the system gave are what the next program needs to find the file.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")


@contextmanager
def written() -> Iterator[None]:
    """Turn a failure to write to stdout within the block into one of the errors below.

    Raises:
        ReaderGoneError: Nobody reads it any more.
        StorageError: It cannot be written, as on a full disk.
    """
    try:
        yield
    except BrokenPipeError:
        _abandon_stdout()
        # click would take a BrokenPipeError for itself, and end with 1.
        raise ReaderGoneError from None
    except OSError as exc:
        _abandon_stdout()
        raise StorageError(
            f"cannot write to standard output: {exc.strerror}",
            hint="what was printed is not whole",
        ) from exc


def _abandon_stdout() -> None:
    # What could not be written is written again when the interpreter ends, which would complain.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
