"""Give up waiting for what cannot be told to hurry."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

_Result = TypeVar("_Result")


class TimeLimitError(Exception):
    """Report that the time was over; no other error is called so."""


def within(seconds: float, action: Callable[[], _Result]) -> _Result:
    """Return what the action returns, or give up; what it raises is raised here.

    Oracle's client tries for minutes to reach the metadata service of a machine that has none,
    and takes no time-out for it. An action that was given up goes on in a daemon thread.

    Raises:
        TimeLimitError: The time is over.
    """
    run = _Run(action)
    # The context carries who is silent in the logs.
    thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if thread.is_alive():
        raise TimeLimitError
    return run.result()


class _Run(Generic[_Result]):
    def __init__(self, action: Callable[[], _Result]) -> None:
        self._action = action
        self._results: list[_Result] = []
        self._failure: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._results.append(self._action())
        except BaseException as exc:  # noqa: BLE001  # raised again in the thread that waits
            self._failure = exc

    def result(self) -> _Result:
        if self._failure is not None:
            raise self._failure
        return self._results[0]
