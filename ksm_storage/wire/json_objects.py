"""JSON objects from another party, which may send anything instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_Pairs = list[tuple[str, Any]]


class NotAnObjectError(ValueError):
    """Say what a text is instead of a JSON object: ``is ...``; holds nothing of the text."""


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Return a JSON object; the last value of a repeated name counts.

    Raises:
        NotAnObjectError: Not JSON in UTF-8, not an object, or nested too deeply for the parser.
    """
    return _parsed(text, None)


def parse_unique_object(text: bytes | str) -> dict[str, Any]:
    """Return a JSON object; a repeated name is refused at every level.

    Raises:
        NotAnObjectError: As for :func:`parse_object`, or a name is repeated.
    """
    return _parsed(text, _unique)


def _parsed(
    text: bytes | str, pairs_hook: Callable[[_Pairs], dict[str, Any]] | None
) -> dict[str, Any]:
    try:
        parsed = json.loads(text, object_pairs_hook=pairs_hook)
    except NotAnObjectError:
        raise
    # The parser's recursion ends with RecursionError on a text of brackets.
    except (ValueError, RecursionError) as exc:
        wrong = f"is not valid JSON{_place(exc)}"
    else:
        if isinstance(parsed, dict):
            return parsed
        wrong = f"is a JSON {'array' if isinstance(parsed, list) else 'value'}, not an object"
    # Not in the except block: a parser's exception keeps the whole text, with what is secret in
    # it, and would stay behind as the context of this one.
    raise NotAnObjectError(wrong)


def _unique(pairs: _Pairs) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise NotAnObjectError("repeats a field")
    return content


def _place(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f" (line {exc.lineno}, column {exc.colno})"
    return ""


def list_of_objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON list, and an empty list for anything else."""
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, dict)]


def as_text(value: object) -> str:
    """Return a member that is meant to be text as text, an empty one for none."""
    return value if isinstance(value, str) else str(value or "")
