"""End a run over many files in good order at Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .output import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_at_signals(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Call ``stop`` at the first signal; give a function that tells whether there was one.

    A second signal ends the process as it would without this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        restore()
        stop()
        say("interrupted: finishing the files that are under way; once more to leave at once")

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield lambda: bool(came)
    finally:
        restore()
