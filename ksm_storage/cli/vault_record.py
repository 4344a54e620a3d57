"""``ksm-storage vault record``: records, from JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from ..errors import SettingsError
from ..vault.owner.records import RecordJson, add_records
from .options import json_option
from .output import data as print_data
from .output import data_as_json
from .vault_options import app_option, open_owner, owner_options, read_json, source_argument


@click.group()
def record() -> None:
    """Add records from JSON.

    A record has title, type, fields, custom and notes, as the service has them:
    {"title": "db", "type": "login", "fields": [{"type": "login", "value": ["bob"]}]}.
    It may also say folder, uid, readOnly and links.
    """


@record.command()
@source_argument
@app_option
@click.option("--folder", metavar="FOLDER", help="The folder's name or uid; else shared alone.")
@owner_options
@json_option
def add(
    source: BinaryIO,
    app: str,
    folder: str | None,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Add the one record in FILE or stdin and print its uid."""
    parsed = read_json(source.read())
    if not isinstance(parsed, dict):
        raise SettingsError("the input is not one record", hint="several: vault record import")
    _add([parsed], app, folder, data, owner_file, as_json=as_json)


@record.command(name="import", short_help="Add a list of records from JSON.")
@source_argument
@app_option
@click.option("--folder", metavar="FOLDER", help="Where records go that name no folder.")
@owner_options
@json_option
def import_records(
    source: BinaryIO,
    app: str,
    folder: str | None,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Add the list of records in FILE or stdin, all or none, and print their uids."""
    parsed = read_json(source.read())
    records = parsed.get("records") if isinstance(parsed, dict) else parsed
    if not isinstance(records, list) or not all(isinstance(item, dict) for item in records):
        raise SettingsError("the input is not a list of records")
    _add(records, app, folder, data, owner_file, as_json=as_json)


def _add(
    records: Sequence[RecordJson],
    app: str,
    folder: str | None,
    data: Path,
    owner_file: Path | None,
    *,
    as_json: bool,
) -> None:
    with open_owner(data, owner_file) as session:
        uids = add_records(session, records, app=app, folder=folder)
    if as_json:
        data_as_json({"record_uids": uids})
        return
    for uid in uids:
        print_data(uid)
