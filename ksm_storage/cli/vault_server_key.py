"""``ksm-storage vault server-key``: the key to which clients wrap their transmission keys."""

from __future__ import annotations

from pathlib import Path

import click

from ..vault.owner.service_settings import renumber_key, rotate_key
from .options import json_option
from .output import data as print_data
from .output import data_as_json, say
from .vault_options import open_owner, owner_options


@click.group()
def server_key() -> None:
    """Make the server ask for another server key."""


@server_key.command(short_help="Accept a new server key only, from the next request on.")
@click.option(
    "--same-key", is_flag=True, help="Change the key's id only; clients follow by themselves."
)
@owner_options
@json_option
def rotate(same_key: bool, data: Path, owner_file: Path | None, as_json: bool) -> None:
    """Accept a new server key, and nothing else, from the next request on."""
    with open_owner(data, owner_file) as session:
        key = renumber_key(session) if same_key else rotate_key(session)
    if as_json:
        data_as_json({"server_public_key_id": key.key_id, "server_public_key": key.public_text})
    else:
        print_data(f"{key.key_id} {key.public_text}")
    if not same_key:
        say("clients that were given the old server public key need this one")
