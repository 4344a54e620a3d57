"""What hangs on an exception of a key service's client, without what its caller was handling."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_outside: ContextVar[BaseException | None] = ContextVar("ksm_storage_outside", default=None)


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

    Whoever calls a key service from an ``except`` block has Python hang the exception of that
    block on all that is raised meanwhile. It says nothing about the call, and is not yielded.
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
