"""Search and change the fields of a record's content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Field = dict[str, Any]


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
    """Return the list of values, or the first one of it, None if there is none."""
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
