"""What hangs on a foreign exception, and what of it may stay on ours: the one secret-safe raise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NoReturn

from ..errors import KsmStorageError

if TYPE_CHECKING:
    from types import TracebackType

_outside: ContextVar[BaseException | None] = ContextVar("ksm_storage_outside", default=None)

# Parsers, decoders and look-ups quote what they could not read: a reply with a DEK in it, or a
# line of a credentials file. Nobody can tell from outside, so none of them is kept.
_QUOTING = (ValueError, LookupError, TypeError, AttributeError, RecursionError, SyntaxError)
_QUOTING_MODULES = frozenset({"configparser", "subprocess"})

# Where clients keep what they sent and received. A request to wrap holds the DEK, a reply to an
# unwrap does too, also one whose status was altered on the way.
_BODIES = (
    *("request", "original_request", "response", "model", "body", "doc", "object"),
    *("output", "stderr"),
)


class HiddenError(Exception):
    """Stand for a foreign exception that may hold a secret: its text is class names only."""


@contextmanager
def call_of_a_plugin() -> Iterator[None]:
    """Remember what the caller is handling while it calls: :func:`chain_of` ends there."""
    token = _outside.set(sys.exc_info()[1])
    try:
        yield
    finally:
        _outside.reset(token)


def chain_of(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it wraps: by chaining, as a reason, or as an argument.

    If a caller uses a key service inside an ``except`` block, Python attaches the exception of
    that block to every error raised there. It says nothing about the call, and is not yielded.
    """
    outside = _outside.get()
    waiting: list[object] = [exc]
    seen: list[BaseException] = []
    while waiting:
        link = waiting.pop()
        # Compared by identity: an exception may define an equality of its own.
        if not isinstance(link, BaseException) or any(link is one for one in (*seen, outside)):
            continue
        seen.append(link)
        yield link
        wrapped = getattr(link, "kwargs", None)
        waiting += [link.__cause__, link.__context__]
        waiting += [getattr(link, name, None) for name in ("reason", "inner_exception")]
        waiting += [wrapped.get("error") if isinstance(wrapped, dict) else None, *link.args]


def translating(
    translate: Callable[[Exception], KsmStorageError],
    *,
    quoting: tuple[type[BaseException] | str, ...] = (),
) -> AbstractContextManager[None]:
    """Let nothing foreign out of a block: each exception becomes one of ours, by ``raise_from``.

    Args:
        translate: Returns the documented error for a foreign exception. It copies none of its
            text.
        quoting: Further classes of the client, or their names, whose instances quote replies or
            files.
    """
    return _Translating(translate, quoting)


class _Translating(AbstractContextManager[None]):
    __slots__ = ("_quoting", "_translate")

    def __init__(
        self,
        translate: Callable[[Exception], KsmStorageError],
        quoting: tuple[type[BaseException] | str, ...],
    ) -> None:
        self._translate = translate
        self._quoting = quoting

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(exc, KsmStorageError):
            # Raised inside the block, perhaps from something foreign.
            cause = exc.__cause__
            if isinstance(cause, Exception) and not isinstance(cause, KsmStorageError):
                exc.__cause__ = _harmless(cause, self._quoting)
            exc.__context__ = None
        elif isinstance(exc, Exception):
            raise_from(self._translate(exc), exc, quoting=self._quoting)


def raise_from(
    error: KsmStorageError,
    exc: Exception,
    *,
    quoting: tuple[type[BaseException] | str, ...] = (),
) -> NoReturn:
    """Raise our error with the foreign exception as its cause, if that can hold no secret.

    Requests and replies are taken off the exception. One that may quote a reply or a file, by
    itself or by anything it wraps, is replaced by a :class:`HiddenError`. It does not stay on
    ``__context__`` either, whatever block this is called from.
    """
    cause = _harmless(exc, quoting)
    try:
        raise error from cause
    finally:
        # Python has just put the exception that is being handled here.
        error.__context__ = None


def _harmless(exc: Exception, quoting: tuple[type[BaseException] | str, ...]) -> BaseException:
    chain = list(chain_of(exc))
    if any(_quotes(link, quoting) or not _emptied(link) for link in chain):
        names = [f"{type(link).__module__}.{type(link).__qualname__}" for link in chain]
        return HiddenError(", ".join(names))
    return exc


def _quotes(link: BaseException, quoting: tuple[type[BaseException] | str, ...]) -> bool:
    if type(link).__module__ in _QUOTING_MODULES:
        return True
    names = {kind.__name__ for kind in type(link).__mro__}
    if any(each in names if isinstance(each, str) else isinstance(link, each) for each in quoting):
        return True
    # A certificate that does not hold is a ValueError, too.
    is_tls = isinstance(link, OSError) and type(link).__module__ == "ssl"
    return isinstance(link, _QUOTING) and not is_tls


def _emptied(link: BaseException) -> bool:
    for name in _BODIES:
        if getattr(link, name, None) is None:
            continue
        try:
            setattr(link, name, None)
        except (AttributeError, TypeError):
            return False
    return True
