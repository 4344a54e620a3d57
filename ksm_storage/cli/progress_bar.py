"""A progress bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

_PAUSE_SECONDS = 0.2


class ProgressBar:
    """Draw a bar on stderr until it is closed, with what else is printed above it."""

    def __init__(self, total: int | None) -> None:
        # Drawn by our own calls alone, in this thread, so that no line is printed into it. The
        # streams are not redirected: rich would send stdout, which may be a pipe, to stderr.
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("files", total=total)
        self._drawn = 0.0
        self._progress.start()

    def advance(self) -> None:
        """Count one more file."""
        self._progress.advance(self._task)
        now = time.monotonic()
        if now - self._drawn >= _PAUSE_SECONDS:
            self._drawn = now
            self._progress.refresh()

    def above(self, write: Callable[[], None]) -> None:
        """Take the bar away, print, and draw it again."""
        self._progress.stop()
        write()
        sys.stdout.flush()
        self._progress.start()

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()
