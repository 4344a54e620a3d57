"""JSON objects from the other side, where anything may stand in their place."""

from __future__ import annotations

import json
from typing import Any


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: Not JSON in UTF-8, not an object, or nested too deeply for the parser. It
            holds nothing of the text.
    """
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    # Not in the except block: a parser's exception keeps the whole text, with what is secret in
    # it, and would stay behind as the context of this one.
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    return parsed


def list_of_objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON list, and an empty list for anything else."""
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, dict)]


def as_text(value: object) -> str:
    """Return a member that is meant to be text as text, an empty one for none."""
    return value if isinstance(value, str) else str(value or "")
