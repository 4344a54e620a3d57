"""``ksm-storage vault app``: applications."""

from __future__ import annotations

from pathlib import Path

import click

from ..vault.owner.applications import create_application
from .options import json_option
from .output import data as print_data
from .output import data_as_json
from .vault_options import open_owner, owner_options


@click.group()
def app() -> None:
    """Make applications."""


@app.command()
@click.argument("name")
@owner_options
@json_option
def create(name: str, data: Path, owner_file: Path | None, as_json: bool) -> None:
    """Make an application called NAME and print its uid."""
    with open_owner(data, owner_file) as session:
        application = create_application(session, name)
    if as_json:
        data_as_json({"app_uid": application.app_uid, "name": application.name})
        return
    print_data(application.app_uid)
