"""Search, make and change the fields of a record's content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .errors import SecretNotFoundError

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


def set_value(field: Field, value: object) -> None:
    """Replace the values; what is no list becomes a list of one."""
    field["value"] = value if isinstance(value, list) else [value]


def first_of_type(fields: Sequence[Field], field_type: str) -> Any:
    """Return the first value of the first field of exactly this type, None if there is none."""
    for field in fields:
        if field.get("type") == field_type:
            return value_of(field, single=True)
    return None


def new_field(
    given: Any, *, field_type: str | None, label: str | None, value: object
) -> Field | None:
    """Return a new field, from an object with ``to_dict`` or from its parts; None if untyped."""
    if given is not None:
        return dict(given.to_dict())
    if field_type is None:
        return None
    field: Field = {"type": field_type, "value": value if isinstance(value, list) else [value]}
    if label is not None:
        field["label"] = label
    return field


def required(field: Field | None, name: str) -> Field:
    """Return the field; raise SecretNotFoundError if there is none."""
    if field is None:
        raise SecretNotFoundError(f"the record has no field {name!r}")
    return field


def get_or_set(field: Field | None, value: object, single: bool, *, name: str) -> Any:
    """Return the field's values; with a value, set it first."""
    found = required(field, name)
    if value is None:
        return value_of(found, single=single)
    set_value(found, value)
    return found["value"]
