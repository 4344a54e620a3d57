"""Find one record in a large answer without parsing the answer.

An answer of 10,000 records is mostly base64 in which a search for ``"<uid>"`` runs at the speed
of memory, some ten times faster than parsing it. What is found this way is a guess about the
structure around it, so every guess is proved before it is used: the object parses and has the
uid, its surroundings parse as a shared folder or as the answer itself, and the caller decrypts the
record with the key of that folder, which only succeeds on what really is its record. Whatever is
not proved is ``None``, and the caller parses the whole answer instead.
"""

from __future__ import annotations

import json
from typing import Any

_decoder = json.JSONDecoder()
_RECORDS = b'"records"'
_FOLDERS = b'"folders"'
_FOLDER_KEY = b'"folderKey"'
# Most records are shorter; for a longer one the window grows.
_WINDOW_BYTES = 1 << 14

# An entry and the folder object that it lies in, None for the answer itself.
Found = tuple[dict[str, Any], dict[str, Any] | None]


def find_records(answer: bytes, uid: str) -> list[Found] | None:
    """Return the records with this uid, the first one first, or None where that is not certain.

    The rest of the answer is searched only if a place that counts before the found one may follow.
    """
    quoted = f'"{uid}"'.encode()
    found: list[Found] = []
    position = answer.find(quoted)
    while position >= 0:
        hit = _record_at(answer, answer.rfind(b"{", 0, position), uid)
        if hit is None:
            return None
        entry, end, folder = hit
        found.append((entry, folder))
        if folder is None or _records_precede_folders(answer):
            return found
        position = answer.find(quoted, max(end, position + 1))
    # None at all may also mean that the uid is written with escapes.
    return found or None


def _records_precede_folders(answer: bytes) -> bool:
    return 0 <= answer.find(_RECORDS) < answer.find(_FOLDERS)


def find_folder(answer: bytes, uid: str) -> dict[str, Any] | None:
    """Return the members of a shared folder that come before its records, or None.

    Folders are few, so each is looked at in turn: the uid itself may stand in every record.
    """
    position = answer.find(_FOLDER_KEY)
    while position >= 0:
        records = answer.find(_RECORDS, position)
        opening = answer.rfind(b"{", 0, position)
        if records >= 0 and opening >= 0:
            closed = answer[opening:records].rstrip().removesuffix(b",") + b"}"
            head, end = _object_at(closed, 0)
            if head is not None and end == len(closed) and head.get("folderUid") == uid:
                return head
        position = answer.find(_FOLDER_KEY, position + 1)
    return None


def _record_at(
    answer: bytes, start: int, uid: str
) -> tuple[dict[str, Any], int, dict[str, Any] | None] | None:
    entry, end = _object_at(answer, start)
    # A link from another record has the uid too; it cannot be decrypted as a record.
    if entry is None or entry.get("recordUid") != uid:
        return None
    head = _head_before(answer, start)
    if head is None:
        return None
    return entry, end, (head if head.get("folderUid") else None)


def _head_before(answer: bytes, start: int) -> dict[str, Any] | None:
    """Return the members that come before the list of records that holds this position."""
    key = answer.rfind(_RECORDS, 0, start)
    opening = answer.rfind(b"{", 0, key) if key >= 0 else -1
    if opening < 0:
        return None
    closed = answer[opening:key].rstrip().removesuffix(b",") + b"}"
    head, end = _object_at(closed, 0)
    return head if end == len(closed) else None


def _object_at(answer: bytes, start: int) -> tuple[dict[str, Any] | None, int]:
    if start < 0:
        return None, start
    window = _WINDOW_BYTES
    while True:
        # A character that the window cuts through lies behind the object, or the window grows.
        text = answer[start : start + window].decode("utf-8", "surrogateescape")
        try:
            parsed, end = _decoder.raw_decode(text)
        except ValueError:
            if start + window >= len(answer):
                return None, start
            window *= 8
            continue
        size = len(text[:end].encode("utf-8", "surrogateescape"))
        return (parsed, start + size) if isinstance(parsed, dict) else (None, start)
