"""``ksm-storage vault folder``: shared folders and the folders below them."""

from __future__ import annotations

from pathlib import Path

import click

from ..vault.owner.folders import add_folder
from .options import json_option
from .output import data as print_data
from .output import data_as_json
from .vault_options import app_option, open_owner, owner_options


@click.group()
def folder() -> None:
    """Make shared folders and folders below them."""


@folder.command(short_help="Make a folder, shared with the application.")
@click.argument("name")
@app_option
@click.option("--parent", metavar="FOLDER", help="Make it below this folder (name or uid).")
@click.option("--read-only", is_flag=True, help="Devices may read what is in it only.")
@owner_options
@json_option
def add(
    name: str,
    app: str,
    parent: str | None,
    read_only: bool,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Make a folder called NAME, shared with the application, and print its uid."""
    with open_owner(data, owner_file) as session:
        made = add_folder(session, name, app=app, parent=parent, read_only=read_only)
    if as_json:
        content = {"folder_uid": made.folder_uid, "shared_folder_uid": made.root_uid}
        data_as_json({**content, "name": made.name})
        return
    print_data(made.folder_uid)
