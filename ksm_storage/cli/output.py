"""How commands print: data on stdout, messages on stderr, JSON on request.

Text from elsewhere never steers the terminal: messages and tables go through :func:`printable`.
"""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import click

from ..contract.redaction import secrets_in, without_secrets
from ..errors import DecryptionError, KsmStorageError, PluginError, ProviderError
from .process import message_json
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


def echo_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout: drawn on a terminal if rich is installed, else plain columns."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and _draw(headings, rows):
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
    if error.path is not None and isinstance(error, _DIAGNOSED) and _is_terminal():
        _write_err(printable(f"hint: to diagnose it: ksm-storage doctor {shlex.quote(error.path)}"))


def _details(error: KsmStorageError, named: str | None) -> Iterator[tuple[str, str]]:
    """Yield the details that the message lacks: on a terminal all, otherwise only the rare ones."""
    rare = (("permission", error.permission), ("request id", error.request_id))
    usual = (("file", error.path), ("key", error.key))
    said = f"{error.message} {error.hint} {named}"
    whole = _is_terminal()
    for name, value in (*(usual if whole else ()), *rare):
        if value is not None and value not in said:
            yield name, value
    if whole:
        yield "class", type(error).__name__


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
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
    message = message[:1].lower() + message[1:]
    hint = getattr(error, "hint", None) or f"see '{command} --help'"
    echo_end("UsageError", message, hint, code=2, as_json=as_json)


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


def _echo_hint(hint: str | None) -> None:
    if hint:
        _write_err(printable(f"hint: {hint}"))


def _write_err(line: str) -> None:
    with guard_stderr():
        click.echo(_without_arguments(line), err=True)


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
    drawn = Table(*headings)
    for row in rows:
        # Text, because rich would take "[...]" in a cell for its own markup.
        drawn.add_row(*(Text(cell) for cell in row))
    with guard_stdout():
        Console().print(drawn)
    return True
