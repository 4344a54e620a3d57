"""The client of a key service: made at first use, one a process, quiet, within a deadline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar

from .deadline import DeadlinePassedError, deadline_of, seconds_left, within_deadline

if TYPE_CHECKING:
    import logging

_Client = TypeVar("_Client")
_Result = TypeVar("_Result")

_quiet: ContextVar[tuple[str, ...]] = ContextVar("ksm_storage_quiet_logs", default=())


class ServiceClient(Generic[_Client]):
    """Hold the one client of a key wrapper; safe across threads and across a fork.

    Args:
        create: Makes the client, its credentials included. It runs inside the deadline of the
            call that needs it first.
        close: Closes a client, if there is something to close. The client of a parent process is
            never closed: that would end the parent's connections.
        deadline: Seconds for a call: credentials, attempts, pauses and all.
        loggers: The SDK's loggers. At DEBUG they print whole requests and replies, the data key
            among them.
        load: Imports the SDK; before the deadline begins, and with the garbage collector
            paused. Only loggers that exist by then are silenced.
    """

    def __init__(
        self,
        create: Callable[[], _Client],
        *,
        deadline: float,
        close: Callable[[_Client], object] | None = None,
        loggers: Sequence[str] = (),
        load: Callable[[], object] | None = None,
    ) -> None:
        self._create = create
        self._close = close
        self._deadline = deadline
        self._loggers = tuple(loggers)
        self._load = load
        # By process: a connection shared with a parent would mix up whose reply is whose, and a
        # lock that another thread of the parent held at the fork is never released in the child.
        self._locks: dict[int, threading.Lock] = {}
        self._clients: dict[int, _Client] = {}

    def run(self, send: Callable[[_Client], _Result]) -> _Result:
        """Return what ``send`` returns for the ready client, within the deadline.

        Raises:
            DeadlinePassedError: The deadline passed; whatever still runs is left behind.
            BaseException: What making the client or ``send`` raised.
        """
        if self._load is not None:
            from ..gc_pause import gc_pause

            with gc_pause():
                self._load()
            self._load = None
        with deadline_of(self._deadline), quiet_logs(*self._loggers):
            return within_deadline(lambda: send(self._ready()))

    def close(self) -> None:
        """Close the client of this process; the next call makes another."""
        # Without the lock: a credential helper that hangs must not keep a program from closing.
        client = self._clients.pop(os.getpid(), None)
        if client is not None and self._close is not None:
            self._close(client)

    def _ready(self) -> _Client:
        process = os.getpid()
        lock = self._locks.setdefault(process, threading.Lock())
        if not lock.acquire(timeout=min(seconds_left(), threading.TIMEOUT_MAX)):
            raise DeadlinePassedError
        try:
            if process not in self._clients:
                self._clients[process] = self._create()
            return self._clients[process]
        finally:
            lock.release()


@contextmanager
def quiet_logs(*prefixes: str) -> Iterator[None]:
    """Drop records below WARNING from the named loggers and their children.

    Only the calling thread (or task) is silenced, and only inside the block: the application's
    own use of the same SDK logs as before. Cloud SDKs print request and reply bodies at DEBUG,
    the plaintext DEK among them, so there is no level at which their logs are safe here.
    """
    # A filter on a parent logger is not asked for its children's records, so each logger that
    # exists by now gets the filter; adding the same object twice does nothing.
    if prefixes:
        _attach(prefixes)
    token = _quiet.set(_quiet.get() + prefixes)
    try:
        yield
    finally:
        _quiet.reset(token)


def _attach(prefixes: tuple[str, ...]) -> None:
    # Here and below: a plugin without an SDK must not pay for loading the logging package.
    import logging

    for name in [*prefixes, *logging.root.manager.loggerDict]:
        if _matches(name, prefixes):
            logging.getLogger(name).addFilter(_passes)
    # A logger that the SDK makes inside the block has no filter yet: what it sends up is stopped
    # at the handlers above it.
    for prefix in prefixes:
        logger: logging.Logger | None = logging.getLogger(prefix)
        while logger is not None:
            for handler in logger.handlers:
                handler.addFilter(_passes)
            logger = logger.parent


def _passes(record: logging.LogRecord) -> bool:
    import logging

    return record.levelno >= logging.WARNING or not _matches(record.name, _quiet.get())


def _matches(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
