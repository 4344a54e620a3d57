"""Wait for a call that may hang, but not for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Result = TypeVar("_Result")


class Overdue(Exception):  # noqa: N818  # no error: the caller says what it means
    """Report that the call has not returned in time."""


def within(seconds: float, call: Callable[[], _Result]) -> _Result:
    """Return what the call returns, or raise what it raises, within a time.

    Raises:
        Overdue: It still runs. Its thread is left behind and does not keep the process alive.
    """
    running = _Running(call)
    thread = threading.Thread(target=running.run, name="ksm-storage-bounded-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Overdue
    return running.result()


class _Running(Generic[_Result]):
    def __init__(self, call: Callable[[], _Result]) -> None:
        self._call = call
        self._results: list[_Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._call())
        # It is raised again in the thread that waits.
        except BaseException as exc:  # noqa: BLE001
            self._error = exc

    def result(self) -> _Result:
        if self._error is not None:
            raise self._error
        return self._results[0]
