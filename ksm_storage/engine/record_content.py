"""What an entry of an answer holds: decrypted, parsed, and searched by field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import DecryptionError
from ..wire.aes import GCM_OVERHEAD_BYTES, GcmKey, gcm_open, gcm_open_each
from ..wire.base64_forms import from_base64
from ..wire.json_objects import parse_object

Content = dict[str, Any]
Field = dict[str, Any]
# The keys that a record key may be encrypted under, tried in order.
ParentKeys = tuple[Callable[[], GcmKey], ...]

# The shortest base64 of a message, without padding.
_MIN_DATA_CHARS = (GCM_OVERHEAD_BYTES * 4 + 2) // 3
_decoder = json.JSONDecoder()


def decrypt_record_key(entry: Mapping[str, Any], parents: ParentKeys, app_key: bytes) -> bytes:
    """Return the record key of an entry whose content has the form of a message.

    Raises:
        DecryptionError: Another key, altered data, or an entry that is not of the protocol.
    """
    try:
        if len(entry["data"]) < _MIN_DATA_CHARS:
            raise ValueError("too short")
        encrypted_key = entry.get("recordKey")
        # A record that is shared alone with an application may have no key of its own.
        if not encrypted_key:
            return app_key
        if len(parents) == 1:
            return parents[0]().open(from_base64(encrypted_key))
        return _first_that_opens(from_base64(encrypted_key), parents)
    except (KeyError, TypeError, ValueError) as exc:
        raise _not_of_the_protocol(entry) from exc


def decrypt_data(entry: Mapping[str, Any], key: bytes) -> bytes:
    """Return the content of an entry as JSON; raises as :func:`decrypt_record_key`."""
    try:
        return gcm_open(key, from_base64(entry["data"]))
    except (KeyError, ValueError) as exc:
        raise _not_of_the_protocol(entry) from exc


def _not_of_the_protocol(entry: Mapping[str, Any]) -> DecryptionError:
    return DecryptionError(f"the record {entry.get('recordUid')!r} is not of the protocol")


def decrypt_record_keys(
    entries: Sequence[Mapping[str, Any]], parents: ParentKeys
) -> list[bytes | None]:
    """Return the record keys of many entries, None for each that has to be decrypted alone."""
    if len(parents) != 1:
        return [None] * len(entries)
    try:
        keys = parents[0]().open_each([entry.get("recordKey") for entry in entries])
    except DecryptionError:
        return [None] * len(entries)
    return [
        key if key is not None and _may_be_message(entry.get("data")) else None
        for key, entry in zip(keys, entries, strict=True)
    ]


def decrypt_contents(
    entries: Sequence[Mapping[str, Any]], keys: Sequence[bytes]
) -> list[bytes | None]:
    """Return the contents of many entries as JSON, None for each to be decrypted alone."""
    return gcm_open_each(keys, [entry.get("data") for entry in entries])


def _may_be_message(data: object) -> bool:
    return type(data) is str and len(data) >= _MIN_DATA_CHARS


def _first_that_opens(encrypted: bytes, parents: ParentKeys) -> bytes:
    for parent in parents[:-1]:
        try:
            return parent().open(encrypted)
        except DecryptionError:
            continue
    return parents[-1]().open(encrypted)


def parse_content(plaintext: bytes | str, *, uid: str) -> Content:
    """Return the content; ``fields`` is always a list of objects in it, as ``custom`` is if any.

    Raises:
        DecryptionError: The plaintext is not a record.
    """
    try:
        text = plaintext.decode() if isinstance(plaintext, bytes) else plaintext
        content = _parse(text)
    # RecursionError: whoever may edit one record must not keep the others from being read.
    except (ValueError, RecursionError):
        content = None
    # Not in the except block: the parser's exception keeps the whole record.
    return check_content(content, uid=uid)


def parse_contents(plaintexts: Sequence[bytes]) -> list[object] | None:
    """Return what many plaintexts hold, parsed at once, or None where that is not certain.

    One call of the parser shares the names of the fields, which takes a third less time. The
    texts come from whoever may edit the records, so a text must not reach beyond its place:
    between each two stands a random text that nobody can foresee. If all of those come out as
    elements of their own, with one element between each two, every text was one whole value.
    """
    mark = os.urandom(16).hex()
    try:
        parsed = json.loads(b"[" + f',"{mark}",'.encode().join(plaintexts) + b"]")
    except (ValueError, RecursionError):
        return None
    marks = parsed[1::2]
    if len(parsed) != 2 * len(plaintexts) - 1 or marks != [mark] * len(marks):
        return None
    return list(parsed[::2])


def check_content(content: object, *, uid: str) -> Content:
    """Return the content of a record with a list of ``fields``; raises as parse_content."""
    if not isinstance(content, dict):
        raise DecryptionError(f"the content of record {uid!r} is not a JSON object")
    fields = content.get("fields")
    if fields is None:
        fields = content["fields"] = []
    custom = content.get("custom")
    if type(fields) is list and (not custom or type(custom) is list):
        # A loop: for the few fields of a record, a generator or a set takes twice the time.
        for field in [*fields, *custom] if custom else fields:
            if type(field) is not dict:
                break
        else:
            return content
    raise DecryptionError(f"the fields of record {uid!r} are not a list of objects")


def _parse(text: str) -> object:
    # Without json.loads, which looks for space first and last: a third of its time here.
    if text.startswith("{"):
        content, end = _decoder.raw_decode(text)
        if end == len(text):
            return content
    return parse_object(text)


def find_field(fields: Sequence[Field], name: str) -> Field | None:
    """Return the first field with this label, else the first of this type in any case."""
    for field in fields:
        if field.get("label") is not None and field["label"] == name:
            return field
    lowered = name.lower()
    for field in fields:
        if str(field.get("type") or "").lower() == lowered:
            return field
    return None


def value_of(field: Field, *, single: bool) -> Any:
    """Return the list of values, or its first value, or None if it is empty."""
    values = field.get("value", [])
    if not single:
        return values
    if not isinstance(values, list):
        return values
    return values[0] if values else None


def dict_of_field(field: Any) -> Field:
    """Return a field as it is stored, from an object with ``to_dict``, or one with attributes."""
    if hasattr(field, "to_dict"):
        return dict(field.to_dict())
    return {name: value for name, value in vars(field).items() if value is not None}


def set_value(field: Field, value: object) -> None:
    """Replace the values; what is not a list becomes a list of one."""
    field["value"] = value if isinstance(value, list) else [value]
