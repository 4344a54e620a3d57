"""How commands print: data on stdout, messages on stderr, JSON on request.

Text from elsewhere never steers the terminal: messages and tables go through :func:`printable`.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

import click

from ..contract.redaction import secrets_in, without_secrets
from ..errors import (
    AuthenticationError,
    DecryptionError,
    KsmStorageError,
    PluginError,
    ProviderError,
)
from .process import current_process, message_json
from .streams import guard_stderr, guard_stdout

# Where a command that runs says that ``--quiet`` was given.
QUIET = "ksm_storage.quiet"

_NEVER_QUIET = ("error: ", "hint: ", "warning: ")
_DIAGNOSED = (DecryptionError, PluginError, ProviderError)


def echo(text: str) -> None:
    """Write data to stdout as a line, unchanged: it may go on to another program."""
    echo_raw(f"{text}\n")


def echo_raw(content: str | bytes) -> None:
    """Write data to stdout without a line end.

    Raises:
        StorageError: It cannot be written.
        ReaderGoneError: Its reader has closed it.
    """
    with guard_stdout():
        click.echo(content, nl=False)


def echo_line(text: str) -> None:
    """Write a line of a report for people to stdout; on a terminal it breaks between words."""
    echo(_fitted(printable(text), sys.stdout))


def echo_json(content: object) -> None:
    """Write data to stdout as JSON."""
    echo(printable_json(content, indent=2))


def echo_err(text: str) -> None:
    """Write a line that is not data to stderr: as JSON under ``--json``.

    With ``--quiet`` only errors, warnings and their hints are written.
    """
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.get(QUIET) and not text.startswith(_NEVER_QUIET):
        return
    if context is not None and context.params.get("as_json"):
        _write_err(message_json(text))
    else:
        _write_err(printable(text))


def echo_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = "") -> None:
    """Write a table to stdout: drawn on a terminal if rich is installed, else plain columns.

    Args:
        headings: The names of the columns.
        rows: The cells. A terminal that is too narrow for them shows each row as a block of lines,
            so that no cell is cut.
        empty: What is said on a terminal if there are no rows.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    if _is_terminal(sys.stdout):
        if empty and not rows:
            echo_err(f"note: {empty}")
            return
        if _draw(headings, rows):
            return
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        echo("  ".join(cells).rstrip())


def echo_error(error: KsmStorageError, *, as_json: bool, named: str | None = None) -> None:
    """Write an error to stderr: what failed, on which file and key, why, and the next step.

    Args:
        error: The error.
        as_json: Write it as JSON.
        named: The file, if the message must begin with it.
    """
    if as_json:
        _write_err(printable_json(error.as_dict()))
        return
    _write_err(printable(f"error: {named + ': ' if named else ''}{error.message}"))
    for name, value in _details(error, named):
        _write_err(printable(f"  {name:<12} {value}"))
    _echo_hint(error.hint)
    if _is_diagnosed(error) and _is_terminal(sys.stderr) and (asked := _asked(error)):
        _write_err(printable(f"hint: to diagnose it: ksm-storage doctor {asked}"))


def _is_diagnosed(error: KsmStorageError) -> bool:
    # Doctor would send a rejected PIN once more, and tokens lock after a few wrong ones.
    is_about_pin = isinstance(error, AuthenticationError) and " PIN" in error.message
    return isinstance(error, _DIAGNOSED) and not is_about_pin


def _asked(error: KsmStorageError) -> str | None:
    """Return what doctor is to examine: a sealed file, or the key that cannot seal one."""
    from .commands import is_sealed

    if error.path is not None and is_sealed(error.path):
        return shlex.quote(error.path)
    return None if error.key is None else f"--examine {shlex.quote(error.key)}"


def _details(error: KsmStorageError, named: str | None) -> Iterator[tuple[str, str]]:
    """Yield the details that the message lacks: on a terminal all, otherwise only the rare ones."""
    rare = (("permission", error.permission), ("request id", error.request_id))
    usual = (("file", error.path), ("key", error.key))
    said = f"{error.message} {error.hint} {named}"
    whole = _is_terminal(sys.stderr)
    for name, value in (*(usual if whole else ()), *rare):
        if value is not None and value not in said:
            yield name, value
    if whole:
        yield "class", type(error).__name__


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def echo_usage_error(error: click.ClickException, *, command: str, as_json: bool) -> None:
    """Write a mistake in how a command was called to stderr, without what may be secret."""
    # By its name: click before 8.2 lacks it, and prints the help text itself.
    if type(error).__name__ == "NoArgsIsHelpError" and not as_json:
        for line in error.format_message().splitlines():
            _write_err(printable(line))
        return
    # A list of choices comes on lines of its own, and so may an argument.
    message = _without_arguments(error.format_message())
    message = _without_arguments(" ".join(message.split()).rstrip("."))
    message = _plain(message[:1].lower() + message[1:])
    hint = getattr(error, "hint", None) or f"see '{command} --help'"
    echo_end("UsageError", message, hint, code=2, as_json=as_json)


def _plain(message: str) -> str:
    """Say click's messages in words that do not come from programming."""
    message = re.sub(r"^invalid value for '\{.*\}': ", "", message)
    message = re.sub(r"\bis not a valid (?:float|integer)( range)?", "is not a number", message)
    return re.sub(
        r"\bis not in the range ([0-9.]+)<=x<=([0-9.]+)", r"must be from \1 to \2", message
    )


def echo_end(kind: str, message: str, hint: str | None, *, code: int, as_json: bool) -> None:
    """Write to stderr why the command ends with this code, if it is not a documented error."""
    if as_json:
        content = {"error": kind, "message": message, "hint": hint, "exit_code": code}
        _write_err(printable_json(content))
        return
    _write_err(printable(f"error: {message}"))
    _echo_hint(hint)


def printable(text: str) -> str:
    """Return the text with every character that is not printable written as an escape.

    These are control characters, line ends, marks that change the writing direction, and bytes
    of a file name that are not text.
    """
    return text if text.isprintable() else "".join(map(_escape, text))


def printable_json(content: object, *, indent: int | None = None) -> str:
    """Return JSON in readable Unicode without such characters, except line ends."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    # Outside of strings JSON has none of them, and inside this is how JSON writes any character.
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        # A byte of a file name that is not text, as Python carries it.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", errors="surrogatepass").decode("ascii")


def ask_secret(what: str, *, confirm: bool = False) -> str:
    """Return what is typed at a prompt on the terminal, without an echo."""
    with current_process().prompting():
        typed: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)
    return typed


def _echo_hint(hint: str | None) -> None:
    if hint:
        _write_err(printable(f"hint: {hint}"))


def _write_err(line: str) -> None:
    with guard_stderr():
        click.echo(_fitted(_without_arguments(line), sys.stderr), err=True)


# What is copied from a terminal in one piece: a command after its introduction, a name in quotes,
# a path, a key. A line end of ours inside it would be copied, one of the terminal's is not.
_PIECE = re.compile(
    r"(\s*)((?:(?<=run: )|(?<=with: )|(?<= it: )|(?<= them: ))[^;]+|'[^']+'[^\s']*|\S+)"
)
_LABELLED = re.compile(r"  \S+(?: \S+)* {2,}(?=\S)|\s*")
_NARROW = 60


def _fitted(line: str, stream: TextIO) -> str:
    """Break a line between words where a terminal would break it within one."""
    if not _is_terminal(stream):
        return line
    return fold(line, shutil.get_terminal_size().columns)


def fold(line: str, width: int) -> str:
    """Break a line between words so that none of its lines is longer, if its words allow it."""
    if len(line) <= width:
        return line
    label = _LABELLED.match(line)
    indent = " " * (len(label[0]) if label and label[0].strip() and width >= _NARROW else 4)
    done, begun = [], ""
    for space, piece in _PIECE.findall(line):
        column = (len(begun) - 1) % width + 1
        fits = column + len(space) + len(piece) <= width
        # One that is too long for any line is left to the terminal.
        if begun.strip() and not fits and len(indent) + len(piece) <= width:
            done.append(begun)
            begun = indent + piece
        else:
            begun += space + piece
    return "\n".join([*done, begun])


class _Given:
    """Hold the words of a command line; what may be a secret in them is looked for only once."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    @functools.cached_property
    def secrets(self) -> Sequence[str]:
        return secrets_in(self._words)


# A secret is easily pasted into the wrong place, and messages name paths, keys and values.
_given: ContextVar[_Given | None] = ContextVar("ksm_storage_given", default=None)


@contextmanager
def hiding(arguments: Sequence[str]) -> Iterator[None]:
    """Let no message inside the block repeat an argument that may be a secret."""
    token = _given.set(_Given(arguments))
    try:
        yield
    finally:
        _given.reset(token)


def _without_arguments(text: str) -> str:
    given = _given.get()
    return text if given is None else without_secrets(text, given.secrets)


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    console, drawn = Console(), Table(*headings)
    for row in rows:
        # Text, because rich would take "[...]" in a cell for its own markup.
        drawn.add_row(*(Text(cell) for cell in row))
    widths = (max(map(len, column)) for column in zip(headings, *rows, strict=True))
    if sum(width + len("│  ") for width in widths) + len("│") > console.width:
        if len(headings) == 2:
            return False
        _write_blocks(headings, rows)
        return True
    with guard_stdout():
        console.print(drawn)
    return True


def _write_blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    width = max(map(len, headings))
    for number, row in enumerate(rows):
        if number:
            echo("")
        for heading, cell in zip(headings, row, strict=True):
            echo(f"{heading:<{width}}  {cell}".strip())
