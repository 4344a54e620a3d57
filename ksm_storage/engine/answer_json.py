"""The answer's JSON, checked as far as the reading of it relies on."""

from __future__ import annotations

import json
from typing import Any, cast

from ..wire.answers import SecretsAnswer
from .errors import ServerAnswerError


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty answer is an empty object.

    Raises:
        ServerAnswerError: Not JSON, or no object.
    """
    if not text:
        return {}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ServerAnswerError("the answer is not JSON in UTF-8") from exc
    if not isinstance(parsed, dict):
        raise ServerAnswerError("the answer is not a JSON object")
    return parsed


def parse_answer(text: bytes | str) -> SecretsAnswer:
    """Return an answer of get_secret."""
    # The shape inside is not checked here: each record answers for itself when it is opened.
    return cast("SecretsAnswer", parse_object(text))


def list_of_objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON list, and an empty list for anything else."""
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, dict)]


def as_text(value: object) -> str:
    """Return a member that is meant to be text as text, an empty one for none."""
    # Another client may have written anything in its place.
    return value if isinstance(value, str) else str(value or "")
