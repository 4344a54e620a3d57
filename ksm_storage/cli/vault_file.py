"""``ksm-storage vault file``: files of records."""

from __future__ import annotations

from pathlib import Path

import click

from ..vault.owner.files import add_file
from ..vault.private_file import read_private
from .options import json_option
from .output import data as print_data
from .output import data_as_json
from .vault_options import app_option, open_owner, owner_options


@click.group()
def file() -> None:
    """Attach files to records."""


@file.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@app_option
@click.option("--record", "record_uid", required=True, metavar="UID", help="The record's uid.")
@click.option("--title", help="The file's title [default: its name].")
@owner_options
@json_option
def add(
    path: Path,
    app: str,
    record_uid: str,
    title: str | None,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Encrypt the file at PATH, attach it to a record and print its uid."""
    content = read_private(path)
    with open_owner(data, owner_file) as session:
        uid = add_file(
            session, content, app=app, record_uid=record_uid, name=path.name, title=title
        )
    if as_json:
        data_as_json({"file_uid": uid, "record_uid": record_uid})
        return
    print_data(uid)
