"""How commands speak: data on stdout, speech on stderr, JSON when asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from ..errors import KsmStorageError
from .printable import printable, printable_json
from .streams import spoken, written


def data(text: str) -> None:
    """Write what was asked for to stdout as a line, as it is: it may go on to another program."""
    data_as_is(f"{text}\n")


def data_as_is(content: str | bytes) -> None:
    """Write what was asked for to stdout, with nothing behind it.

    Raises:
        StorageError: It cannot be written.
        ReaderGoneError: Nobody reads it any more.
    """
    with written():
        click.echo(content, nl=False)


def data_as_json(content: object) -> None:
    """Write what was asked for to stdout as JSON."""
    data(printable_json(content, indent=2))


def say(text: str) -> None:
    """Tell the user one line that is not data, on stderr."""
    with spoken():
        click.echo(printable(text), err=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout: drawn on a terminal, plain columns elsewhere."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(headings, rows)
        return
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        data("  ".join(cells).rstrip())


def report(error: KsmStorageError, *, as_json: bool) -> None:
    """Write an error and its hint to stderr."""
    if as_json:
        say(printable_json(error.as_dict()))
        return
    say(f"error: {error.message}")
    _hint(error.hint)


def report_usage(error: click.ClickException, *, command: str, as_json: bool) -> None:
    """Write an error in the way a command was called to stderr."""
    # By its name: before click 8.2 there is none, and click prints the help text itself.
    if type(error).__name__ == "NoArgsIsHelpError":
        for line in error.format_message().splitlines():
            say(line)
        return
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    hint = f"see '{command} --help'"
    report_end("UsageError", message, hint, code=2, as_json=as_json)


def report_end(kind: str, message: str, hint: str | None, *, code: int, as_json: bool) -> None:
    """Write to stderr why the command ends with this code, where it is no documented error."""
    if as_json:
        content = {"error": kind, "message": message, "hint": hint, "exit_code": code}
        say(printable_json(content))
        return
    say(f"error: {message}")
    _hint(hint)


def _hint(hint: str | None) -> None:
    if hint:
        say(f"hint: {hint}")


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*headings)
    for row in rows:
        # Text, because rich would take "[...]" in a cell for its own markup.
        drawn.add_row(*(Text(cell) for cell in row))
    with written():
        Console().print(drawn)
