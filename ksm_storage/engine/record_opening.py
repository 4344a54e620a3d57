"""Open a sealed record: record key under its parent's key, content under the record key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import DecryptionError
from ..wire.aes import GcmKey, gcm_open
from ..wire.base64_forms import from_base64

_decoder = json.JSONDecoder()
_OBJECT = {dict}


def open_entry(entry: Mapping[str, Any], parent: GcmKey, app_key: bytes) -> tuple[bytes, bytes]:
    """Return the content as JSON and the record key.

    Raises:
        DecryptionError: Another key, altered data, or an entry that is not of the protocol.
    """
    sealed_key = entry.get("recordKey")
    try:
        # A record that is shared alone with an application may have no key of its own.
        key = parent.open(from_base64(sealed_key)) if sealed_key else app_key
        return gcm_open(key, from_base64(entry["data"])), key
    except (KeyError, ValueError) as exc:
        raise _unusable(entry) from exc


def parse_content(plaintext: bytes | str, *, uid: str) -> dict[str, Any]:
    """Return the content; ``fields`` is always a list of objects in it, as ``custom`` is if any.

    Raises:
        DecryptionError: What came out is no record.
    """
    try:
        text = plaintext.decode() if isinstance(plaintext, bytes) else plaintext
        content = _parse(text)
    # RecursionError: whoever may edit one record must not keep the others from being read.
    except (ValueError, RecursionError) as exc:
        raise DecryptionError(f"the content of record {uid!r} is not JSON") from exc
    if not isinstance(content, dict):
        raise DecryptionError(f"the content of record {uid!r} is not a JSON object")
    if content.get("fields") is None:
        content["fields"] = []
    if not _are_objects(content["fields"]) or not _are_objects(content.get("custom") or []):
        raise DecryptionError(f"the fields of record {uid!r} are no list of objects")
    return content


def _are_objects(fields: object) -> bool:
    return type(fields) is list and set(map(type, fields)) <= _OBJECT


def _parse(text: str) -> Any:
    # Without json.loads, which looks for space first and last: a third of its time here.
    if text.startswith("{"):
        content, end = _decoder.raw_decode(text)
        if end == len(text):
            return content
    return json.loads(text)


def _unusable(entry: Mapping[str, Any]) -> DecryptionError:
    return DecryptionError(f"the record {entry.get('recordUid')!r} is not of the protocol")
