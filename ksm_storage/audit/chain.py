"""The lines of an audit file: canonical JSON, each with the hash of the one before it.

A line holds the event, its ``number`` from 1, ``previous`` (the hash of the line before, zeros for
the first) and ``hash``: SHA-256 over the 32 bytes of ``previous`` and the canonical line without
``hash``. Canonical is JSON with sorted names, no spaces and ASCII only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

NO_HASH = "0" * 64


class Link(NamedTuple):
    """Hold where a chain stands: the number and hash of its last line."""

    number: int
    hash: str


START = Link(0, NO_HASH)


def chained_line(event: Mapping[str, object], after: Link) -> bytes:
    """Return the line of an event behind a link, with its newline."""
    body = {**event, "number": after.number + 1, "previous": after.hash}
    return _canonical({**body, "hash": _hash(body, after.hash)}) + b"\n"


class Line(NamedTuple):
    """Hold a line as it was read; whether it is ``whole`` says its own hash."""

    event: Mapping[str, Any]
    number: int
    previous: str
    hash: str
    whole: bool

    @property
    def link(self) -> Link:
        """Return what the next line is chained to."""
        return Link(self.number, self.hash)


def read_line(raw: bytes) -> Line | None:
    """Return what a line without its newline says, or None if it is no line of an audit file."""
    try:
        event = json.loads(raw)
    # RecursionError: brackets in thousands, which no event has.
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    number, previous, digest = event.get("number"), event.get("previous"), event.get("hash")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        return None
    if not _is_hash(previous) or not _is_hash(digest):
        return None
    body = {name: value for name, value in event.items() if name != "hash"}
    # Written another way it is another line, even if it says the same.
    whole = _canonical(event) == raw and _hash(body, str(previous)) == digest
    return Line(event, number, str(previous), str(digest), whole)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _hash(body: Mapping[str, object], previous: str) -> str:
    return hashlib.sha256(bytes.fromhex(previous) + _canonical(body)).hexdigest()


def _canonical(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
