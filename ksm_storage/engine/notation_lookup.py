"""From a notation to the record that it names, and on to the value that it selects."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..wire.base64_forms import to_url_safe
from . import late_errors as errors
from .keeper_file import Downloader, KeeperFile
from .notation import Notation, parse_notation
from .record import Record
from .record_content import Field, value_of
from .record_list import RecordList

_UID = re.compile(r"[A-Za-z0-9_-]{22}")

# For each type of reference, the fields of the other record that stand in its place.
REFERENCE_FIELDS: Mapping[str, list[str]] = {
    "addressRef": ["address"],
    "cardRef": ["paymentCard", "text", "pinCode", "addressRef"],
}

Fetch = Callable[[list[str] | None], Awaitable[RecordList]]


class AnswersByUid(Protocol):
    """What is asked for records: a blocking client, or an object with this method of one."""

    def get_secrets(self, uids: Sequence[str] | str | None = None, /) -> RecordList:
        """Return all records, or those with these uids."""


class OneRequest:
    """Fetch the records for many notations with one request, and referenced records with more.

    Args:
        manager: The client, which has sent nothing yet.
        uids: The only records to ask for, as :func:`named_uids` returns them; None for all.
    """

    def __init__(self, manager: AnswersByUid, uids: Sequence[str] | None) -> None:
        self._manager = manager
        self._wanted = uids
        self._all: RecordList | None = None
        self._named: dict[str, Record] | None = None

    async def fetch(self, uids: Sequence[str] | None) -> RecordList:
        """Return the records with these uids, all for None."""
        if uids is None or self._wanted is None:
            if self._all is None:
                self._all = self._manager.get_secrets()
            if uids is None:
                return self._all
            return RecordList([record for record in self._all.sealed if record.uid in uids])
        if self._named is None:
            found = self._manager.get_secrets(self._wanted)
            self._named = {record.uid: record for record in found}
        missing = [uid for uid in uids if uid not in self._named and uid not in self._wanted]
        # A reference field of one of them names others.
        for record in self._manager.get_secrets(missing) if missing else ():
            self._named[record.uid] = record
        return RecordList([self._named[uid] for uid in uids if uid in self._named])


def named_uids(notations: Iterable[str]) -> list[str] | None:
    """Return the uids that all of the notations name, None if one of them names a title."""
    records = [parse_notation(text, property_first=True).record for text in notations]
    # A title may be that of any record, so that all must be looked at.
    return list(dict.fromkeys(records)) if all(map(_UID.fullmatch, records)) else None


class NotationLookup:
    """Resolve notations with a function that fetches records by uid, all for None.

    Args:
        fetch: Returns the records.
        download: Fetches a file's content; None for what its record's client does.
    """

    def __init__(self, fetch: Fetch, *, download: Downloader | None = None) -> None:
        self._fetch = fetch
        self._download = download

    async def single(self, text: str) -> Any:
        """Return one value: the first of a field unless an index or ``[]`` says otherwise.

        A file is returned as bytes, and references to other records as their values.

        Raises:
            NotationError: Brackets that this form does not take.
            SecretNotFoundError: No such record, field, value, property or file.
        """
        notation = parse_notation(text, property_first=True)
        record = await self._record(notation.record)
        if notation.parameter is None:
            return record.dict.get(notation.selector)
        if notation.selector == "file":
            return await _file(record, notation.parameter).fetch(self._download)
        field = _field_by_label_or_type(record, notation)
        values = field.get("value")
        if field.get("type") in REFERENCE_FIELDS:
            values = await self.inflate(values or [], REFERENCE_FIELDS[str(field["type"])])
        if notation.property_name is not None:
            _check_property(notation)
        elif notation.index == "":
            return values
        if not isinstance(values, list):
            return values
        return _picked(values, notation) if values else None

    async def results(self, text: str) -> list[str]:
        """Return all values as text; other values become JSON, a file url-safe base64.

        Raises:
            SecretNotFoundError: No field or file matches, or several do, or the index is too high.
        """
        notation = parse_notation(text)
        record = await self._record(notation.record)
        if notation.parameter is None:
            value = record.dict.get(notation.selector)
            return [] if value is None else [value]
        if notation.selector == "file":
            content = await _file(record, notation.parameter).fetch(self._download)
            return [to_url_safe(content)]
        values = _only_field(record, notation).get("value", [])
        values = values if isinstance(values, list) else []
        if notation.index:
            values = [_at(values, int(notation.index))]
        if not notation.property_name:
            return [_as_text(value) for value in values]
        name = notation.property_name
        return [_as_text(v[name]) for v in values if isinstance(v, dict) and name in v]

    async def inflate(self, uids: Iterable[str], replace_fields: Iterable[str]) -> list[Any]:
        """Return the values of the records with these uids; those without values are left out."""
        wanted = list(uids)
        records = {record.uid: record for record in await self._fetch(wanted)}
        values = [
            await self._merged(records[uid], replace_fields) for uid in wanted if uid in records
        ]
        return [value for value in values if value is not None]

    async def _merged(self, record: Record, replace_fields: Iterable[str]) -> Any:
        parts: list[tuple[Field, Any]] = []
        for name in replace_fields:
            field = record.get_standard_field(name)
            value = None if field is None else value_of(field, single=True)
            if name in REFERENCE_FIELDS and value is not None:
                value = next(iter(await self.inflate([value], REFERENCE_FIELDS[name])), None)
            if field is not None and value is not None:
                parts.append((field, value))
        if len(parts) < 2:
            return parts[0][1] if parts else None
        merged: dict[str, Any] = {}
        for field, value in parts:
            merged.update(value if isinstance(value, dict) else {_label(field): value})
        return merged

    async def _record(self, uid_or_title: str) -> Record:
        if _UID.fullmatch(uid_or_title):
            for record in await self._fetch([uid_or_title]):
                return record
        found = list((await self._fetch(None)).titled(uid_or_title))
        if len(found) > 1:
            raise errors.SecretNotFoundError(
                f"multiple records match record {uid_or_title!r}", hint="use the uid"
            )
        if not found:
            raise errors.SecretNotFoundError(
                f"no records match record {uid_or_title!r}",
                hint="check the uid or title, and that the record is shared with the application",
            )
        return found[0]


def _label(field: Field) -> str:
    return str(field.get("label") or field.get("type"))


def _check_property(notation: Notation) -> None:
    name = notation.property_name
    if not name or name.isdigit():
        raise errors.NotationError(
            "Keeper notation is invalid: the second brackets must hold a property"
        )


def _picked(values: list[Any], notation: Notation) -> Any:
    value = _at(values, int(notation.index or 0))
    name = notation.property_name
    if name is None:
        return value
    if not isinstance(value, dict) or name not in value:
        raise errors.SecretNotFoundError(f"the value has no property {name!r}")
    return value[name]


def _at(values: list[Any], index: int) -> Any:
    if index >= len(values):
        raise errors.SecretNotFoundError(
            f"no value at index {index}: index out of bounds, the field has {len(values)} values"
        )
    return values[index]


def _field_by_label_or_type(record: Record, notation: Notation) -> Field:
    name = notation.parameter or ""
    is_standard = notation.selector == "field"
    field = record.get_standard_field(name) if is_standard else record.get_custom_field(name)
    if field is None:
        kind = "standard" if is_standard else "custom"
        raise errors.SecretNotFoundError(f"Cannot find {kind} field {name!r}")
    return field


def _only_field(record: Record, notation: Notation) -> Field:
    part = "fields" if notation.selector == "field" else "custom"
    name = notation.parameter
    found: list[Field] = [
        field
        for field in record.dict.get(part) or []
        if name in (field.get("type"), field.get("label"))
    ]
    if len(found) != 1:
        count = "multiple" if found else "no"
        raise errors.SecretNotFoundError(f"the record has {count} fields matching {name!r}")
    return found[0]


def _file(record: Record, name: str) -> KeeperFile:
    found = [file for file in record.files if name in (file.name, file.title, file.uid)]
    if len(found) != 1:
        count = "multiple" if found else "no"
        raise errors.SecretNotFoundError(f"the record has {count} files matching {name!r}")
    return found[0]


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
