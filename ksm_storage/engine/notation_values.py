"""What a notation selects from a record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..wire.base64_forms import to_url_safe
from .errors import NotationError, SecretNotFoundError
from .keeper_file import KeeperFile
from .notation_syntax import Notation
from .record import Record
from .record_fields import Field
from .references import REFERENCE_FIELDS

# Replaces the uids of a reference field of this type by what they refer to.
Inflate = Callable[[list[str], str], list[Any]]


def single_value(record: Record, notation: Notation, inflate: Inflate) -> Any:
    """Return one value: the first of a field unless an index or ``[]`` says otherwise.

    A file is returned as bytes, and references to other records as what they refer to.

    Raises:
        NotationError: Brackets that this form does not take.
        SecretNotFoundError: The record has no such field, value, property or file.
    """
    if notation.parameter is None:
        return record.dict.get(notation.selector)
    if notation.selector == "file":
        return _file(record, notation.parameter).get_file_data()
    field = _field_by_label_or_type(record, notation)
    values = field.get("value")
    if field.get("type") in REFERENCE_FIELDS:
        values = inflate(values or [], str(field["type"]))
    if notation.property_name is not None:
        _check_property(notation)
    elif notation.index == "":
        return values
    if not isinstance(values, list):
        return values
    return _picked(values, notation) if values else None


def all_values(record: Record, notation: Notation) -> list[str]:
    """Return all selected values as text; what is no text is JSON, a file url-safe base64.

    Raises:
        SecretNotFoundError: No field or file matches, or several do, or the index is too high.
    """
    if notation.parameter is None:
        value = record.dict.get(notation.selector)
        return [] if value is None else [value]
    if notation.selector == "file":
        return [to_url_safe(_file(record, notation.parameter).get_file_data())]
    values = _only_field(record, notation).get("value", [])
    values = values if isinstance(values, list) else []
    if notation.index:
        values = [_at(values, int(notation.index))]
    if not notation.property_name:
        return [_as_text(value) for value in values]
    name = notation.property_name
    return [_as_text(v[name]) for v in values if isinstance(v, dict) and name in v]


def _check_property(notation: Notation) -> None:
    name = notation.property_name
    if not name or name.isdigit():
        raise NotationError("the second brackets of a notation hold a property")


def _picked(values: list[Any], notation: Notation) -> Any:
    value = _at(values, int(notation.index or 0))
    name = notation.property_name
    if name is None:
        return value
    if not isinstance(value, dict) or name not in value:
        raise SecretNotFoundError(f"the value has no property {name!r}")
    return value[name]


def _at(values: list[Any], index: int) -> Any:
    if index >= len(values):
        raise SecretNotFoundError(f"the field has {len(values)} values, none at index {index}")
    return values[index]


def _field_by_label_or_type(record: Record, notation: Notation) -> Field:
    name = notation.parameter or ""
    is_standard = notation.selector == "field"
    field = record.get_standard_field(name) if is_standard else record.get_custom_field(name)
    if field is None:
        raise SecretNotFoundError(f"the record has no such field: {notation.selector}/{name}")
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
        raise SecretNotFoundError(
            f"{len(found)} fields of the record match {notation.selector}/{name}"
        )
    return found[0]


def _file(record: Record, name: str) -> KeeperFile:
    found = [file for file in record.files if name in (file.name, file.title, file.uid)]
    if len(found) != 1:
        raise SecretNotFoundError(f"{len(found)} files of the record match {name!r}")
    return found[0]


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
