"""Keep an SDK's debug logs silent while a plaintext key passes through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

_quiet: ContextVar[tuple[str, ...]] = ContextVar("ksm_storage_quiet_logs", default=())


@contextmanager
def quiet_logs(*prefixes: str) -> Iterator[None]:
    """Drop records below WARNING from the named loggers and their children.

    Only the calling thread (or task) is silenced, and only inside the block: the application's
    own use of the same SDK logs as before. Cloud SDKs print request and reply bodies at DEBUG,
    the plaintext DEK among them, so there is no level at which their logs are safe here.
    """
    # A filter on a parent logger is not asked for its children's records, so each logger that
    # exists by now gets the filter; adding the same object twice does nothing.
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
