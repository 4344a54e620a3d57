"""How a value of a record is written to stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .output import data, data_as_is


def as_text(value: object) -> str:
    """Return a text as it is, anything else as JSON on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def values_of(field: Mapping[str, Any]) -> list[Any]:
    """Return the values of a field; what another client stored in place of a list is one value."""
    value = field.get("value")
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def print_value(value: object) -> None:
    """Print a text, the values of a list each on a line, or the bytes of a file as they are."""
    if isinstance(value, bytes):
        data_as_is(value)
        return
    for item in value if isinstance(value, list) else [value]:
        data(as_text(item))
