"""``ksm-storage secret``: read what is shared with the application."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import click

from ..engine import KeeperFile, Record, SecretNotFoundError
from ..errors import SettingsError, StorageError
from .commands import command, group
from .options import PATH, json_option
from .output import echo, echo_err, echo_json, echo_raw, echo_table
from .references import text_of
from .secret_source import NOTATION_PREFIX, Source, find_record, reveal_option, source_options
from .values import ask_value

_HIDDEN = "(hidden; use --reveal)"
# The types of field that Keeper's own pages and tools show without being asked.
_PUBLIC_TYPES = frozenset(
    {
        *("address", "birthDate", "checkbox", "databaseType", "date", "dropdown", "email"),
        *(
            "expirationDate",
            "fileRef",
            "host",
            "login",
            "multiline",
            "name",
            "phone",
            "text",
            "url",
        ),
    }
)
_STDOUT = "-"
_FILE_UID = re.compile(r"[A-Za-z0-9_-]{2,64}")


@group()
def secret() -> None:
    """Read the secrets that are shared with the application.

    Titles, logins and the like are shown; secret values only with --reveal.
    """


@command(name="list", short_help="List the records shared with the application.")
@source_options
@json_option
def list_secrets(source: Source, as_json: bool) -> None:
    """List the records that are shared with the application, by title."""
    records = sorted(source.connect().get_secrets(), key=lambda r: (r.title or "", r.uid))
    if as_json:
        echo_json([{"uid": r.uid, "type": r.type, "title": r.title} for r in records])
        return
    echo_table(
        ["UID", "TYPE", "TITLE"],
        [[r.uid, r.type or "", r.title or ""] for r in records],
        empty="no records are shared with the application",
    )


@command(short_help="Show a record, with --reveal its secret values.")
@source_options
@click.argument("name", metavar="UID|TITLE|NOTATION")
@click.option(
    "--field", "field_name", metavar="NAME", help="Print one field only, by its type or label."
)
@reveal_option
@json_option
def get(source: Source, name: str, field_name: str | None, reveal: bool, as_json: bool) -> None:
    """Show a record: its fields by name, and with --reveal also the secret values.

    With --field, or for a notation such as keeper://RECORD/field/password, only the values are
    printed, one per line.
    """
    if name.lower().startswith(NOTATION_PREFIX):
        if field_name is not None:
            raise click.UsageError("--field cannot be used with a notation")
        _print_notation(source, name, reveal=reveal, as_json=as_json)
        return
    record = find_record(source.connect(), name)
    if field_name is not None:
        _print_field(record, field_name, reveal=reveal, as_json=as_json)
        return
    if as_json:
        echo_json(_as_dict(record, reveal=reveal))
        return
    _print_record(record, reveal=reveal)


@command(short_help="Print what a Keeper notation selects.")
@source_options
@click.argument("uri")
@reveal_option
@json_option
def notation(source: Source, uri: str, reveal: bool, as_json: bool) -> None:
    """Print what URI selects, e.g. keeper://RECORD/field/password or .../custom_field/LABEL[1].

    RECORD is a uid or a title. With [] after a field, all its values are printed, one per line. A
    file is written to stdout unchanged, and in base64 with --json.
    """
    _print_notation(source, uri, reveal=reveal, as_json=as_json)


@command(short_help="Save a file of a record, or write it to stdout.")
@source_options
@click.argument("name", metavar="UID|TITLE")
@click.argument("filename")
@click.option(
    "--output",
    metavar="FILE",
    type=PATH,
    help="Write to this new file, or '-' for stdout [default: FILENAME in this folder].",
)
@json_option
def download(source: Source, name: str, filename: str, output: str | None, as_json: bool) -> None:
    """Save the file FILENAME (its name, title or uid) of a record as a new file.

    The new file is readable only by you. Size and integrity are verified before it is written.
    """
    file = _find_file(find_record(source.connect(), name), filename)
    target = _safe_name(file, asked=filename) if output is None else output
    if target != _STDOUT and os.path.lexists(target):
        raise StorageError(f"{target!r} already exists", hint="choose another file with --output")
    content = file.get_file_data()
    if target == _STDOUT:
        if as_json:
            text = base64.b64encode(content).decode()
            echo_json({"output": None, "bytes": len(content), "content": text})
        else:
            echo_raw(content)
        return
    _write_new(target, content)
    if as_json:
        echo_json({"output": target, "bytes": len(content)})
        return
    echo_err(f"wrote {len(content)} bytes to {target}")


@command(name="set", short_help="Set a field of a record.")
@source_options
@click.argument("name", metavar="UID|TITLE")
@click.argument("field_name", metavar="FIELD")
@click.option("--value-file", type=PATH, metavar="FILE", help="Read the value from this file.")
@json_option
def set_secret(
    source: Source, name: str, field_name: str, value_file: str | None, as_json: bool
) -> None:
    """Set the FIELD of a record, by its type or label, to one value.

    The value is read from a prompt on a terminal, else from standard input; one trailing line end
    is removed. It is never an argument, because other users of the machine could see it.
    """
    value = ask_value(field_name, value_file)
    manager = source.connect()
    record = find_record(manager, name)
    if record.get_standard_field(field_name) is not None:
        record.set_standard_field_value(field_name, value)
    elif record.get_custom_field(field_name) is not None:
        record.set_custom_field_value(field_name, value)
    else:
        raise _no_field(record, field_name)
    manager.save(record)
    if as_json:
        echo_json({"uid": record.uid, "field": field_name, "status": "done"})
        return
    echo_err(f"set {field_name} of {record.title or record.uid}")


@command(short_help="Print the current one-time code of a record.")
@source_options
@click.argument("name", metavar="UID|TITLE")
@json_option
def totp(source: Source, name: str, as_json: bool) -> None:
    """Print the current code of the record's one-time code field (oneTimeCode)."""
    from ..engine.utils import get_totp_code

    record = find_record(source.connect(), name)
    field = record.get_standard_field("oneTimeCode") or record.get_custom_field("oneTimeCode")
    values = [] if field is None else _values_of(field)
    if not values:
        raise SecretNotFoundError(
            "the record has no one-time code", hint="add one to the record in the Keeper vault"
        )
    code = get_totp_code(str(values[0]))
    if as_json:
        echo_json({"code": code.code, "seconds_left": code.time_left, "period": code.period})
        return
    echo(code.code)


def _print_notation(source: Source, uri: str, *, reveal: bool, as_json: bool) -> None:
    if not reveal:
        raise SettingsError(
            "the value of a notation may be secret", hint="add --reveal to print it"
        )
    value = source.connect().get_notation(uri)
    if value is None:
        raise SecretNotFoundError("the notation selects an empty field")
    if as_json:
        echo_json(base64.b64encode(value).decode() if isinstance(value, bytes) else value)
    elif isinstance(value, bytes):
        echo_raw(value)
    else:
        for item in value if isinstance(value, list) else [value]:
            echo(text_of(item, uri))


def _print_field(record: Record, name: str, *, reveal: bool, as_json: bool) -> None:
    field = record.get_standard_field(name) or record.get_custom_field(name)
    if field is None:
        raise _no_field(record, name)
    if not reveal and not _is_public(field):
        raise SettingsError(f"the value of {name!r} is secret", hint="add --reveal to print it")
    values = _values_of(field)
    if as_json:
        echo_json(values)
        return
    for value in values:
        echo(text_of(value, name))


def _no_field(record: Record, name: str) -> SecretNotFoundError:
    names = ", ".join(_name(field) for field in _fields(record))
    return SecretNotFoundError(
        f"the record has no field {name!r}", hint=f"its fields: {names or '(none)'}"
    )


def _print_record(record: Record, *, reveal: bool) -> None:
    named = (("uid", record.uid), ("title", record.title), ("type", record.type))
    rows = [[name, value or ""] for name, value in named]
    for field in _fields(record):
        values = ", ".join(_as_text(value) for value in _values_of(field))
        shown = values if reveal or _is_public(field) or not values else _HIDDEN
        rows.append([_name(field), shown])
    if record.notes:
        rows.append(["notes", record.notes if reveal else _HIDDEN])
    rows += [["file", f"{file.name} ({file.size} bytes)"] for file in record.files]
    echo_table(["FIELD", "VALUE"], rows)


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
    shown = reveal or _is_public(field)
    wanted = ("type", "label", "value") if shown else ("type", "label")
    return {name: field[name] for name in wanted if name in field}


def _fields(record: Record) -> list[dict[str, Any]]:
    return [*(record.dict.get("fields") or []), *(record.dict.get("custom") or [])]


def _is_public(field: Mapping[str, Any]) -> bool:
    return field.get("type") in _PUBLIC_TYPES and not field.get("privacyScreen")


def _name(field: dict[str, Any]) -> str:
    return str(field.get("label") or field.get("type") or "")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _values_of(field: Mapping[str, Any]) -> list[Any]:
    value = field.get("value")
    if value is None:
        return []
    # What another client stored in place of a list is one value.
    return value if isinstance(value, list) else [value]


def _find_file(record: Record, name: str) -> KeeperFile:
    found = [file for file in record.files if name in (file.name, file.title, file.uid)]
    if len(found) != 1:
        names = ", ".join(f"{file.name} ({file.uid})" for file in record.files)
        raise SecretNotFoundError(
            f"{len(found) or 'no'} files of the record match {name!r}",
            hint=f"its files: {names or '(none)'}",
        )
    return found[0]


def _safe_name(file: KeeperFile, *, asked: str) -> str:
    # Whoever may edit the record chooses the name, which must not lead out of this folder.
    name = file.name.replace("\\", "/").rpartition("/")[2]
    # Nor be one that a program reads unasked, such as .bashrc, unless it was asked for.
    is_hidden = name.startswith(".") and (name != asked or name in (".", ".."))
    if name in ("", _STDOUT) or "\0" in name or is_hidden or not _is_text(name):
        name = file.uid
    # The uid is the uploader's choice as well.
    if name == file.uid and not _FILE_UID.fullmatch(name):
        raise StorageError(
            "the file's name is not valid on this system", hint="choose one with --output"
        )
    return name


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write_new(target: str, content: bytes) -> None:
    try:
        with open(target, "xb", opener=_private) as file:
            try:
                file.write(content)
                file.flush()
            except BaseException:
                # A part would look like the file, and keep a second try from writing it.
                os.unlink(target)
                raise
    except OSError as exc:
        raise StorageError(f"cannot write {target!r}: {exc.strerror}") from exc


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


for _command in (download, get, list_secrets, notation, set_secret, totp):
    secret.add_command(_command)
