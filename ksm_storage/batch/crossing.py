"""What crosses from a copy of the process to the command: results, errors and log records."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable
from typing import NamedTuple

from .. import errors
from ..errors import KsmStorageError
from .provider_queue import JobResult

_LOGGER = "ksm_storage"
_MAX_REMEMBERED = 1024


class Logged(NamedTuple):
    """What a child logs: the logger's name, the level and the text."""

    name: str
    level: int
    text: str


class LogOnce:
    """Log what the children log; what each of them says for itself is said once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: set[Logged] = set()

    def log(self, record: Logged) -> None:
        """Log what a child logged, unless it was logged already."""
        with self._lock:
            if record in self._said:
                return
            if len(self._said) < _MAX_REMEMBERED:
                self._said.add(record)
        logging.getLogger(record.name).log(record.level, "%s", record.text)


def log_by(send: Callable[[Logged], None]) -> None:
    """Have all records of our loggers sent, in place of what the application's handlers do."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith(f"{_LOGGER}.") and isinstance(logger, logging.Logger):
            # Theirs are called in the parent, which may write the same file.
            logger.handlers, logger.propagate = [], True
    ours = logging.getLogger(_LOGGER)
    ours.handlers, ours.propagate = [_ToCommand(send)], False


def pickled(result: JobResult | BaseException | Logged) -> bytes:
    """Return a result for the parent; an exception without its cause, a fault with its place."""
    if isinstance(result, BaseException):
        return _pickled_fault(result)
    if not isinstance(result, JobResult) or result.error is None:
        return pickle.dumps(result)
    try:
        return _readable(result)
    # A class that exists only here, or an attribute of it: pickle raises what it likes.
    except Exception:  # noqa: BLE001
        return pickle.dumps(JobResult(result.number, result.path, error=_public(result.error)))


def _pickled_fault(fault: BaseException) -> bytes:
    import traceback

    # Shown with a traceback only, which would end in the parent's code.
    place = "".join(traceback.format_tb(fault.__traceback__))
    fault.add_note(place)
    try:
        return _readable(fault)
    # As above.
    except Exception:  # noqa: BLE001
        other = RuntimeError(f"a result cannot be sent ({type(fault).__name__})")
        other.add_note(place)
        return pickle.dumps(other)


def _readable(result: JobResult | BaseException) -> bytes:
    content = pickle.dumps(result)
    # An exception whose class takes other arguments can be written and not read.
    pickle.loads(content)  # noqa: S301
    return content


def _public(error: KsmStorageError) -> KsmStorageError:
    """Return an error of the nearest documented class, with the same text and details."""
    kind = type(error)
    while kind.__module__ != errors.__name__:
        kind = next(each for each in kind.__bases__ if issubclass(each, KsmStorageError))
    public = kind(error.message, hint=error.hint)
    public.path = error.path
    public.provider, public.key = error.provider, error.key
    public.operation, public.permission = error.operation, error.permission
    public.request_id = error.request_id
    public.causes = tuple(_public(cause) for cause in error.causes)
    return public


class _ToCommand(logging.Handler):
    """Send each record of our loggers to the parent, which has the application's handlers."""

    def __init__(self, send: Callable[[Logged], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Logged(record.name, record.levelno, record.getMessage()))
