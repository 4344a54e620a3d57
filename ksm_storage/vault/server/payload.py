"""The fields of a request's payload, each checked for its form."""

from __future__ import annotations

import json
import re

from ...wire.base64_forms import from_base64
from ...wire.ecies import load_public_point
from .refused import malformed

Payload = dict[str, object]

UID_FORM = re.compile(r"[A-Za-z0-9_-]{20,24}")


def parse_payload(plaintext: bytes) -> Payload:
    """Return the payload of a request; refuse what is not a JSON object."""
    try:
        payload = json.loads(plaintext)
    except (ValueError, RecursionError) as exc:
        raise malformed("the payload is not JSON") from exc
    if not isinstance(payload, dict):
        raise malformed("the payload is not a JSON object")
    return payload


def text(payload: Payload, name: str) -> str:
    """Return a text that must be there."""
    value = payload.get(name)
    # Nothing in the protocol needs more than ASCII, and a lone surrogate would end in SQLite.
    if not isinstance(value, str) or not value or not value.isascii():
        raise malformed(f"{name} is missing or not a text")
    return value


def uid(payload: Payload, name: str) -> str:
    """Return a uid that must be there."""
    return _checked_uid(text(payload, name), name)


def optional_uid(payload: Payload, name: str) -> str | None:
    """Return a uid, or None where the field is absent, null or empty."""
    return uid(payload, name) if payload.get(name) else None


def uids(payload: Payload, name: str) -> list[str]:
    """Return a list of uids; absent, null and empty are the same."""
    value = payload.get(name) or []
    if not isinstance(value, list) or not all(_is_ascii(item) for item in value):
        raise malformed(f"{name} is not a list of texts")
    return value


def number(payload: Payload, name: str) -> int:
    """Return a whole number that must be there."""
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed(f"{name} is missing or not a number")
    return value


def sealed(payload: Payload, name: str) -> bytes:
    """Return the bytes of a base64 field that must be there."""
    try:
        return from_base64(text(payload, name))
    except ValueError as exc:
        raise malformed(f"{name} is not base64") from exc


def public_point(payload: Payload) -> bytes | None:
    """Return the public key of a device that binds, or None when it does not."""
    if not payload.get("publicKey"):
        return None
    point = sealed(payload, "publicKey")
    try:
        load_public_point(point)
    except ValueError as exc:
        raise malformed("publicKey is not a point of P-256") from exc
    return point


def _is_ascii(item: object) -> bool:
    return isinstance(item, str) and item.isascii()


def _checked_uid(value: str, name: str) -> str:
    if not UID_FORM.fullmatch(value):
        raise malformed(f"{name} is not a uid")
    return value
