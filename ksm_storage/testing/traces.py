"""What a secret looks like in a log, and what an SDK's error looks like in ours."""

from __future__ import annotations

import base64
from collections.abc import Iterator

_SHORTEST_TEXT = 12


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
        if len(str(cause)) >= _SHORTEST_TEXT:
            yield str(cause)
        cause = cause.__cause__ or cause.__context__
