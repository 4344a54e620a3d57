"""Keep the Azure client's logs silent while a DEK passes through it, or while it fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ksm_storage.plugin import quiet_logs

# At DEBUG they print requests, and tracing or a hook of the application may print their bodies.
_LOGGERS = ("azure", "msal", "urllib3", "requests")

_silent: ContextVar[bool] = ContextVar("ksm_storage_azure_kv_silent", default=False)


@contextmanager
def silent_client() -> Iterator[None]:
    """Drop the client's records in this thread: those below WARNING, and its warnings.

    It warns of each failure that it raises besides, and the error says it in our words.
    """
    token = _silent.set(True)
    try:
        with quiet_logs(*_LOGGERS):
            yield
    finally:
        _silent.reset(token)


def silence_new_loggers() -> None:
    """Include the loggers that were made since; call it after parts of the client are imported."""
    for name in [*logging.root.manager.loggerDict]:
        if name.startswith(("azure.", "msal.")):
            logging.getLogger(name).addFilter(_passes)


def _passes(_: logging.LogRecord) -> bool:
    return not _silent.get()
