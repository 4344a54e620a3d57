"""How a value of a record is written to stdout."""

from __future__ import annotations

import json

from .output import data, data_as_is


def as_text(value: object) -> str:
    """Return a text as it is, anything else as JSON on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_value(value: object) -> None:
    """Print a text, the values of a list each on a line, or the bytes of a file as they are."""
    if isinstance(value, bytes):
        data_as_is(value)
        return
    for item in value if isinstance(value, list) else [value]:
        data(as_text(item))
