"""Print the result of each of many files as it comes, and a table at the end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ..batch.provider_queue import FileResult, JobResult
from ..errors import KsmStorageError
from .output import echo, echo_err, echo_error, echo_raw, printable, printable_json
from .streams import guard_stderr

if TYPE_CHECKING:
    from rich.progress import Progress

_INTERRUPTED = 130
_REDRAW_SECONDS = 0.2


class Results:
    """Print each outcome, and keep only counts and the first failure's exit code."""

    def __init__(self, *, as_json: bool, one: bool, array: bool) -> None:
        self._as_json, self._one, self._array = as_json, one, array
        self._counts: Counter[str] = Counter()
        self._first_failure = 0
        self._not_started = 0
        self._written = 0
        self._bar: _Bar | None = None

    def expect(self, count: Callable[[], int] | None) -> None:
        """Show progress if stderr is a terminal; the count is None if it is not known."""
        if not self._one and sys.stderr.isatty():
            self._bar = _new_bar(count() if count else None)

    def add(self, outcome: JobResult) -> None:
        """Print an outcome."""
        if outcome.error is not None:
            self._counts[type(outcome.error).__name__] += 1
            self._first_failure = self._first_failure or outcome.error.exit_code
            self._show(partial(self._report, outcome.error, outcome.path))
        elif outcome.done is None:
            self._not_started += 1
        else:
            done = outcome.done
            self._counts[done.result] += 1
            self._first_failure = self._first_failure or done.exit_code
            self._show(partial(self._print, done))
        if self._bar is not None:
            self._bar.advance()

    def end(self, *, interrupted: bool) -> int:
        """Print the table, and return the exit code."""
        self._close()
        if self._array and self._as_json and self._written:
            echo("\n]")
        if not self._one and not self._as_json:
            self._table()
        if interrupted:
            echo_err("error: interrupted; run the same command again for the remaining files")
            return _INTERRUPTED
        return self._first_failure

    def _table(self) -> None:
        if self._not_started:
            self._counts["not started"] = self._not_started
        rows = [("RESULT", "FILES"), *((name, str(n)) for name, n in self._counts.most_common())]
        width = max(len(name) for name, _ in rows)
        digits = max(len(count) for _, count in rows)
        for name, count in rows:
            echo_err(f"{name:<{width}}  {count:>{digits}}")

    def _print(self, done: FileResult) -> None:
        if self._as_json and done.content is not None:
            self._print_json(done.content)
        elif not self._as_json:
            for line in done.printed:
                echo(printable(line))
        for line in done.said:
            echo_err(line)

    def _print_json(self, content: Mapping[str, Any]) -> None:
        text = printable_json(content, indent=2)
        if not self._array:
            echo(text)
            return
        # Written as it comes, so that ten thousand files need no more memory than one.
        indented = "\n".join(f"  {line}" for line in text.splitlines())
        echo_raw(f"{',' if self._written else '['}\n{indented}")
        self._written += 1

    def _report(self, error: KsmStorageError, path: str) -> None:
        if self._one or path in error.message:
            echo_error(error, as_json=self._as_json)
        elif self._as_json:
            echo_err(printable_json({"path": path, **error.as_dict()}))
        else:
            echo_err(f"error: {path}: {error.message}")
            if error.hint:
                echo_err(f"hint: {error.hint}")

    def _show(self, write: Callable[[], None]) -> None:
        if self._bar is None:
            write()
        else:
            self._bar.above(write)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


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
