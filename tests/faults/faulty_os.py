"""Make one call to the operating system fail, or end the process there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Act = Callable[[str, Callable[[], Any], tuple[Any, ...]], Any]

WATCHED = [
    *("close", "fchmod", "fchown", "fstat", "fsync", "ftruncate", "getxattr"),
    *("listxattr", "lseek", "lstat", "open", "read", "replace", "setxattr", "stat", "unlink"),
    "write",
]
FLOCK = "flock"
# Between two of these a save only asks and reads.
CHANGING = ["write", "fchmod", "fsync", "replace", "unlink", "ftruncate"]


class FaultyOs:
    """Stand between the storage and the operating system while :meth:`watching`.

    Attributes:
        calls: The names of the calls so far.
        mounted: Whether the file behaves like a mount point, which no rename replaces.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.mounted = False
        self._act: Act | None = None
        self._at: int | None = None
        self._is_watching = False
        for name in WATCHED:
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))
        patch.setattr(fcntl, FLOCK, self._wrapped(FLOCK, fcntl.flock))

    @contextmanager
    def watching(self, *, at: int | None = None, act: Act | None = None) -> Iterator[None]:
        """Count the calls of the block, and act at the one of that number, or at each if None."""
        self.calls, self._at, self._act = [], at, act
        self._is_watching = True
        try:
            yield
        finally:
            self._is_watching = False

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            def perform() -> Any:
                if name == "replace" and self.mounted:
                    raise OSError(16, "Device or resource busy")
                return real(*arguments, **named)

            if not self._is_watching:
                return perform()
            self.calls.append(name)
            if self._act is None or self._at not in (None, len(self.calls) - 1):
                return perform()
            # What the action itself calls is not watched.
            self._is_watching = False
            try:
                return self._act(name, perform, arguments)
            finally:
                self._is_watching = True

        return call


def fail(code: int) -> Act:
    """Fail instead of the call, as the operating system does."""

    def act(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        if name == "close":
            perform()
        raise OSError(code, os.strerror(code))

    return act


def die_before(status: int) -> Act:
    """End the process instead of the call."""

    def act(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        os._exit(status)

    return act


def die_after(status: int) -> Act:
    """End the process after the call."""

    def act(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        try:
            perform()
        finally:
            os._exit(status)

    return act


def die_in_the_middle(status: int) -> Act:
    """End the process after half of a write."""

    def act(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        if name == "write":
            descriptor, data = arguments
            os.write(descriptor, data[: len(data) // 2])
        os._exit(status)

    return act


def write_little(name: str, perform: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
    """Write a part of what is asked for, as the operating system may."""
    if name != "write":
        return perform()
    descriptor, data = arguments
    return os.write(descriptor, data[:100])
