"""Print the result of each of many files as it comes, and a table at the end."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import click

from ..batch.provider_queue import FileResult, JobResult
from ..errors import KsmStorageError
from .output import (
    QUIET,
    echo,
    echo_err,
    echo_error,
    echo_line,
    echo_raw,
    printable,
    printable_json,
)
from .process import INTERRUPTED, current_process
from .streams import guard_stderr

if TYPE_CHECKING:
    from rich.progress import Progress

_REDRAW_SECONDS = 0.2
# What an end with many failures names; `--json` has all of them.
_MAX_NAMED = 5
_MAX_CAUSES = 64
_MIN_WIDTH, _WIDTH = 40, 80


class Results:
    """Print each outcome as it comes, and keep only counts and the first failure's exit code.

    Args:
        as_json: Print an array with an object for each file.
        one: Whether one file was named by its own name: no table, no progress.
    """

    def __init__(self, *, as_json: bool, one: bool) -> None:
        self._as_json, self._one = as_json, one
        self._quiet = bool(click.get_current_context().meta.get(QUIET))
        self._counts: Counter[str] = Counter()
        self._causes: dict[_Cause, _Repeated] = {}
        self._notes: dict[Sequence[str], _Repeated] = {}
        self._first_failure = 0
        self._left: list[str] = []
        self._not_started = 0
        self._written = 0
        self._bar: _Bar | None = None

    def expect(self, count: Callable[[], int] | None) -> None:
        """Show progress if stderr is a terminal; the count is None if it is not known."""
        if not self._one and not self._quiet and not self._as_json and sys.stderr.isatty():
            self._bar = _new_bar(count() if count else None)
            current_process().draws_progress = True

    def add(self, outcome: JobResult) -> None:
        """Print an outcome."""
        if outcome.error is not None:
            self._counts[type(outcome.error).__name__] += 1
            self._first_failure = self._first_failure or outcome.error.exit_code
            self._show(partial(self._failed, outcome.error, outcome.path))
        elif outcome.done is None:
            self.add_left(outcome.path)
        else:
            done = outcome.done
            self._counts[done.result] += 1
            self._first_failure = self._first_failure or done.exit_code
            self._show(partial(self._print, done, outcome.path))
        if self._bar is not None:
            self._bar.advance()

    def add_left(self, path: str) -> None:
        """Note a file that was not started."""
        self._not_started += 1
        if len(self._left) < _MAX_NAMED:
            self._left.append(path)
        if self._as_json:
            found = {"path": path, "status": "skipped", "result": "not started"}
            self._print_json({**found, "notes": []})

    def end(self, *, interrupted: bool) -> int:
        """Print the groups of like failures and the table, and return the exit code."""
        self._close()
        if self._as_json:
            echo("\n]" if self._written else "[]")
        else:
            for repeated in (*self._causes.values(), *self._notes.values()):
                repeated.say()
        if not self._one and not self._as_json:
            self._table()
        if interrupted:
            self._say_left()
            return INTERRUPTED
        return self._first_failure

    def _say_left(self) -> None:
        files = "1 file" if self._not_started == 1 else f"{self._not_started} files"
        more = self._not_started - len(self._left)
        others = f" and {more} more" if more else ""
        echo_err(f"error: interrupted; {files} not processed{_named(self._left)}{others}")
        echo_err("hint: run the same command again for the remaining files")

    def _table(self) -> None:
        if self._not_started:
            self._counts["not started"] = self._not_started
        rows = [("RESULT", "FILES"), *((name, str(n)) for name, n in self._counts.most_common())]
        width = max(len(name) for name, _ in rows)
        digits = max(len(count) for _, count in rows)
        for name, count in rows:
            echo_err(f"{name:<{width}}  {count:>{digits}}")

    def _print(self, done: FileResult, path: str) -> None:
        if self._as_json:
            notes = [line.removeprefix(_NOTE) for line in done.said if line.startswith(_NOTE)]
            found = {"path": path, "status": done.status, "result": done.result}
            # The path as it was given stands first, whatever the content says.
            self._print_json({**found, **(done.content or {}), "path": path, "notes": notes})
            return
        for line in done.printed:
            echo_line(_with_short_keys(line, sys.stdout))
        notes = [line for line in done.said if line.startswith(_NOTE)]
        for line in done.said:
            if line not in notes:
                echo_err(_with_short_keys(line, sys.stderr))
        self._echo_notes(notes, path)

    def _echo_notes(self, notes: Sequence[str], path: str) -> None:
        """Print notes, or count the file if an earlier one had the same."""
        alike = tuple(_without_path(note, path) for note in notes)
        if alike in self._notes:
            self._notes[alike].add(path)
            return
        if notes and len(self._notes) < _MAX_CAUSES:
            self._notes[alike] = _Repeated("note", f"with the same notes as {path}")
        for note in notes:
            echo_err(note)

    def _print_json(self, content: Mapping[str, Any]) -> None:
        text = printable_json(content, indent=2)
        # Written as it comes, so that ten thousand files need no more memory than one.
        indented = "\n".join(f"  {line}" for line in text.splitlines())
        echo_raw(f"{',' if self._written else '['}\n{indented}")
        self._written += 1

    def _failed(self, error: KsmStorageError, path: str) -> None:
        error.path = error.path or path
        if self._as_json:
            found = {"path": path, "status": "failed", "result": type(error).__name__}
            self._print_json({**found, "error": error.as_dict(), "notes": []})
            return
        cause = _cause_of(error, path)
        if cause in self._causes:
            self._causes[cause].add(path)
            return
        if len(self._causes) < _MAX_CAUSES:
            kind = type(error).__name__
            self._causes[cause] = _Repeated("error", f"failed like {error.path} ({kind})")
        named = self._one or path in error.message or repr(path)[1:-1] in error.message
        echo_error(error, as_json=False, named=None if named else path)

    def _show(self, write: Callable[[], None]) -> None:
        if self._bar is None:
            write()
        else:
            self._bar.above(write)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            current_process().draws_progress = False

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


_Cause = tuple[type[KsmStorageError], str, "str | None"]


def _cause_of(error: KsmStorageError, path: str) -> _Cause:
    """Return what two files that failed for the same reason have in common."""
    hint = error.hint and _without_path(error.hint, path)
    return type(error), _without_path(error.message, path), hint


def _without_path(text: str, path: str) -> str:
    for name in (shlex.quote(path), repr(path), path):
        text = text.replace(name, "PATH")
    return text


class _Repeated:
    """Count the files of which an earlier one says all, and remember the first few."""

    def __init__(self, level: str, like: str) -> None:
        self._level, self._like = level, like
        self._count = 0
        self._paths: list[str] = []

    def add(self, path: str) -> None:
        self._count += 1
        if len(self._paths) < _MAX_NAMED:
            self._paths.append(path)

    def say(self) -> None:
        if self._count:
            files = "1 more file" if self._count == 1 else f"{self._count} more files"
            more = "" if self._count == len(self._paths) else "; --json lists all"
            echo_err(f"{self._level}: {files} {self._like}{_named(self._paths)}{more}")


def _named(paths: Sequence[str]) -> str:
    return f": {', '.join(paths)}" if paths else ""


_NOTE = "note: "
_KEY = re.compile(r"[a-z][a-z0-9-]*://[^\s,]+")


def _with_short_keys(line: str, stream: TextIO) -> str:
    """Return a printable line with its keys cut so that it fits; --json has them whole."""
    line = printable(line)
    width = _WIDTH
    if stream.isatty():
        width = max(_MIN_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    excess = len(line) - width
    keys = _KEY.findall(line)
    # An indented line is one of a report, whose keys are what is asked for.
    if excess <= 0 or not keys or line.startswith(" "):
        return line
    share = -(-excess // len(keys))
    for key in keys:
        line = line.replace(key, _short_key(key, len(key) - share), 1)
    return line


def _short_key(key: str, length: int) -> str:
    """Return a key cut in its middle: the provider, and the end of its name."""
    scheme, _, name = key.partition("://")
    first, slash, _ = name.partition("/")
    begin = f"{first}/…" if slash and len(first) < _MIN_KEY_END else "…"
    end = name[-max(_MIN_KEY_END, length - len(scheme) - len("://") - len(begin)) :]
    if "/" in end[:-_MIN_KEY_END]:
        # From a whole part of its name on, where that still says enough.
        end = end[end.index("/") :]
    return key if len(end) + 1 >= len(name) else f"{scheme}://{begin}{end}"


_MIN_KEY_END = 12


class _Bar(Protocol):
    """What is shown while files are processed: with rich a bar, without it a count."""

    def advance(self) -> None: ...
    def above(self, write: Callable[[], None]) -> None: ...
    def close(self) -> None: ...


def _new_bar(total: int | None) -> _Bar:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    except ImportError:
        return _Count(total)
    # Drawn by our own calls alone, in this thread, so that no line is printed into it. The
    # streams are not redirected: rich would send stdout, which may be a pipe, to stderr.
    progress = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    return _RichBar(progress, total)


class _RichBar:
    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("files", total=total)
        self._drawn = 0.0
        progress.start()
        # A second interrupt ends the process at once, and would leave the terminal without it.
        progress.console.show_cursor(True)

    def advance(self) -> None:
        self._progress.advance(self._task)
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            self._progress.refresh()

    def above(self, write: Callable[[], None]) -> None:
        self._progress.stop()
        write()
        sys.stdout.flush()
        self._progress.start()
        self._progress.console.show_cursor(True)

    def close(self) -> None:
        self._progress.stop()


class _Count:
    """Count on one line of the terminal, which is erased before anything else is printed."""

    def __init__(self, total: int | None) -> None:
        self._of = "" if total is None else f"/{total}"
        self._done = 0
        self._drawn = 0.0
        self._width = 0

    def advance(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            self._draw()

    def above(self, write: Callable[[], None]) -> None:
        self._erase()
        write()
        sys.stdout.flush()
        self._draw()

    def close(self) -> None:
        self._erase()

    def _draw(self) -> None:
        text = f"{self._done}{self._of} files"
        self._width = len(text)
        with guard_stderr():
            sys.stderr.write(f"\r{text}")
            sys.stderr.flush()

    def _erase(self) -> None:
        if self._width:
            with guard_stderr():
                sys.stderr.write(f"\r{' ' * self._width}\r")
                sys.stderr.flush()
            self._width = 0
