"""How a value of a record is written to stdout."""

from __future__ import annotations

import json
import sys

from .output import data


def as_text(value: object) -> str:
    """Return a text as it is, anything else as JSON on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_value(value: object) -> None:
    """Print a text, the values of a list each on a line, or the bytes of a file as they are."""
    if isinstance(value, bytes):
        sys.stdout.buffer.write(value)
        return
    for item in value if isinstance(value, list) else [value]:
        data(as_text(item))
