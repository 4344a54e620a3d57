"""``ksm-storage secret get``: one record, or one field of it."""

from __future__ import annotations

from typing import Any

import click

from ..engine import Record, SecretNotFoundError
from ..errors import SettingsError
from .options import json_option
from .output import data, data_as_json, table
from .secret_lookup import NOTATION_PREFIX, Source, find_record, reveal_option, source_options
from .secret_notation import print_notation
from .secret_value import as_text, values_of

_HIDDEN = "(hidden; see --reveal)"


@click.command(short_help="Show a record, its values with --reveal.")
@source_options
@click.argument("name", metavar="UID|TITLE|NOTATION")
@click.option("--field", "field_name", metavar="NAME", help="One field, by its type or label.")
@reveal_option
@json_option
def get(source: Source, name: str, field_name: str | None, reveal: bool, as_json: bool) -> None:
    """Show a record: its fields by name, and their values with --reveal.

    With --field, or for a notation (keeper://RECORD/field/password), the values alone are
    printed, each on a line.
    """
    if name.lower().startswith(NOTATION_PREFIX):
        if field_name is not None:
            raise click.UsageError("a notation names its field itself")
        print_notation(source, name, reveal=reveal, as_json=as_json)
        return
    if field_name is not None and not reveal:
        raise SettingsError(
            f"the value of {field_name!r} is secret", hint="add --reveal to print it all the same"
        )
    record = find_record(source.connect(), name)
    if field_name is not None:
        _print_field(record, field_name, as_json=as_json)
        return
    if as_json:
        data_as_json(_as_dict(record, reveal=reveal))
        return
    _print_record(record, reveal=reveal)


def _print_field(record: Record, name: str, *, as_json: bool) -> None:
    field = record.get_standard_field(name) or record.get_custom_field(name)
    if field is None:
        names = ", ".join(_name(field) for field in _fields(record))
        raise SecretNotFoundError(
            f"the record has no field {name!r}", hint=f"its fields are: {names or 'none'}"
        )
    values = values_of(field)
    if as_json:
        data_as_json(values)
        return
    for value in values:
        data(as_text(value))


def _print_record(record: Record, *, reveal: bool) -> None:
    rows = [["uid", record.uid], ["title", record.title], ["type", record.type]]
    for field in _fields(record):
        values = ", ".join(as_text(value) for value in values_of(field))
        rows.append([_name(field), (values if reveal else _HIDDEN) if values else ""])
    if record.notes:
        rows.append(["notes", record.notes if reveal else _HIDDEN])
    rows += [["file", f"{file.name} ({file.size} bytes)"] for file in record.files]
    table(["FIELD", "VALUE"], rows)


def _as_dict(record: Record, *, reveal: bool) -> dict[str, Any]:
    shown = {
        "uid": record.uid,
        "title": record.title,
        "type": record.type,
        "folder_uid": record.folder_uid or None,
        "revision": record.revision,
        "fields": [_field_as_dict(f, reveal=reveal) for f in record.dict.get("fields") or []],
        "custom": [_field_as_dict(f, reveal=reveal) for f in record.dict.get("custom") or []],
        "files": [{"uid": f.uid, "name": f.name, "size": f.size} for f in record.files],
    }
    return {**shown, "notes": record.notes} if reveal else shown


def _field_as_dict(field: dict[str, Any], *, reveal: bool) -> dict[str, Any]:
    wanted = ("type", "label", "value") if reveal else ("type", "label")
    return {name: field[name] for name in wanted if name in field}


def _fields(record: Record) -> list[dict[str, Any]]:
    return [*(record.dict.get("fields") or []), *(record.dict.get("custom") or [])]


def _name(field: dict[str, Any]) -> str:
    return str(field.get("label") or field.get("type") or "")
