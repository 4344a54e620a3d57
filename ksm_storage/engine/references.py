"""References between records: a card's address, an account's card."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .record import Record
from .record_fields import Field, value_of

# For each type of reference, the fields of the other record that stand in its place.
REFERENCE_FIELDS: dict[str, tuple[str, ...]] = {
    "addressRef": ("address",),
    "cardRef": ("paymentCard", "text", "pinCode", "addressRef"),
}

Fetch = Callable[[list[str]], Iterable[Record]]


def inflate(uids: list[str], field_type: str, fetch: Fetch) -> list[Any]:
    """Return for each uid what its record says; records without any of the fields are left out."""
    records = {record.uid: record for record in fetch(uids)}
    values = [_merged(records[uid], field_type, fetch) for uid in uids if uid in records]
    return [value for value in values if value is not None]


def _merged(record: Record, field_type: str, fetch: Fetch) -> Any:
    parts: list[tuple[Field, Any]] = []
    for name in REFERENCE_FIELDS[field_type]:
        field = record.get_standard_field(name)
        value = None if field is None else value_of(field, single=True)
        if name in REFERENCE_FIELDS and value is not None:
            value = next(iter(inflate([value], name, fetch)), None)
        if field is not None and value is not None:
            parts.append((field, value))
    if len(parts) < 2:
        return parts[0][1] if parts else None
    merged: dict[str, Any] = {}
    for field, value in parts:
        merged.update(value if isinstance(value, dict) else {_label(field): value})
    return merged


def _label(field: Field) -> str:
    return str(field.get("label") or field.get("type"))
