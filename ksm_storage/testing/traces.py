"""What a secret looks like in a log, and where in an error it may hide."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

MIN_TEXT = 12
MAX_OBJECTS = 50_000


def encodings_of(secret: bytes) -> list[str]:
    """Return the texts in which a log or a message may show the secret."""
    return [
        repr(secret)[2:-1],
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        str(list(secret))[1:-1],
    ]


def texts_of_causes(error: BaseException) -> Iterator[str]:
    """Yield the texts of the foreign errors behind an error.

    Shorter ones are words that a message of ours may use by itself.
    """
    cause = error.__cause__
    while cause is not None:
        if len(str(cause)) >= MIN_TEXT:
            yield str(cause)
        cause = cause.__cause__ or cause.__context__


def holders_of(error: BaseException, secret: bytes) -> list[str]:
    """Return where in an error, or in anything that hangs on it, the secret can be found.

    It follows ``__cause__`` and ``__context__``, arguments, attributes and containers.
    A part of the secret counts: what is cut off takes the end with it.
    """
    texts = [text[: len(text) // 2] for text in encodings_of(secret)]
    forms = [secret[:16], *(text.encode() for text in texts)]
    found: list[str] = []
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("error", error)]
    while waiting and len(seen) < MAX_OBJECTS:
        place, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        raw = value.encode(errors="replace") if isinstance(value, str) else value
        if isinstance(raw, (bytes, bytearray, memoryview)):
            if any(form in bytes(raw) for form in forms):
                found.append(place)
            continue
        waiting += _parts(place, value)
    return found


def _parts(place: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseException):
        yield f"{place}.__cause__", value.__cause__
        yield f"{place}.__context__", value.__context__
        yield f"{place}.args", value.args
        yield f"str({place})", str(value)
    if isinstance(value, Mapping):
        yield from ((f"{place}[{name!r}]", each) for name, each in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"{place}[{number}]", each) for number, each in enumerate(value))
    # A class or a module leads to everything there is, and holds nothing of one call.
    elif not isinstance(value, type) and type(value).__name__ not in ("module", "function"):
        for name in (*getattr(value, "__dict__", ()), "object", "doc"):
            yield f"{place}.{name}", getattr(value, name, None)
