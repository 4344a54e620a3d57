"""Show what became of many files as they are done, and a table at the end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..batch.provider_queue import FileResult, JobResult
from ..errors import KsmStorageError
from .output import data, data_as_is, report, say
from .printable import printable, printable_json

if TYPE_CHECKING:
    from .progress_bar import ProgressBar

_INTERRUPTED = 130


class Results:
    """Print each outcome, and hold nothing of it but its kind and the first failure's exit code."""

    def __init__(self, *, as_json: bool, one: bool, array: bool) -> None:
        self._as_json, self._one, self._array = as_json, one, array
        self._counts: Counter[str] = Counter()
        self._first_failure = 0
        self._not_begun = 0
        self._written = 0
        self._bar: ProgressBar | None = None

    def expect(self, count: Callable[[], int] | None) -> None:
        """Draw a progress bar if a person watches; the count is None if it is not known."""
        if self._one or not sys.stderr.isatty():
            return
        from .progress_bar import ProgressBar

        self._bar = ProgressBar(count() if count else None)

    def add(self, outcome: JobResult) -> None:
        """Print an outcome."""
        if outcome.error is not None:
            self._counts[type(outcome.error).__name__] += 1
            self._first_failure = self._first_failure or outcome.error.exit_code
            self._show(partial(self._report, outcome.error, outcome.path))
        elif outcome.done is None:
            self._not_begun += 1
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
            data("\n]")
        if not self._one and not self._as_json:
            self._table()
        if interrupted:
            say("error: interrupted; run the same command again to go on with the rest")
            return _INTERRUPTED
        return self._first_failure

    def _table(self) -> None:
        if self._not_begun:
            self._counts["not begun"] = self._not_begun
        rows = [("RESULT", "FILES"), *((name, str(n)) for name, n in self._counts.most_common())]
        width = max(len(name) for name, _ in rows)
        digits = max(len(count) for _, count in rows)
        for name, count in rows:
            say(f"{name:<{width}}  {count:>{digits}}")

    def _print(self, done: FileResult) -> None:
        if self._as_json and done.content is not None:
            self._print_json(done.content)
        elif not self._as_json:
            for line in done.printed:
                data(printable(line))
        for line in done.said:
            say(line)

    def _print_json(self, content: Mapping[str, Any]) -> None:
        text = printable_json(content, indent=2)
        if not self._array:
            data(text)
            return
        # Written as it comes, so that ten thousand files need no more memory than one.
        indented = "\n".join(f"  {line}" for line in text.splitlines())
        data_as_is(f"{',' if self._written else '['}\n{indented}")
        self._written += 1

    def _report(self, error: KsmStorageError, path: str) -> None:
        if self._one or path in error.message:
            report(error, as_json=self._as_json)
        elif self._as_json:
            say(printable_json({"path": path, **error.as_dict()}))
        else:
            say(f"error: {path}: {error.message}")
            if error.hint:
                say(f"hint: {error.hint}")

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
