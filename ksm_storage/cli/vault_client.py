"""``ksm-storage vault client``: one-time tokens and the devices that come of them."""

from __future__ import annotations

from pathlib import Path

import click

from ..vault.owner.clients import (
    ListedClient,
    NewClient,
    add_client,
    list_clients,
    revoke_client,
)
from .options import json_option
from .output import data as print_data
from .output import data_as_json, say, table
from .vault_options import app_option, duration, open_owner, owner_options, shown_time


@click.group()
def client() -> None:
    """Give out one-time tokens, list and revoke devices."""


@client.command(short_help="Make a one-time token for a new device.")
@app_option
@click.option("--name", help="What the owner calls the device.")
@click.option("--unlock-ip", is_flag=True, help="Do not lock the device to its first address.")
@click.option(
    "--token-expires",
    callback=duration,
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="How long the token can be redeemed: 90s, 10m, 2h, 7d.",
)
@click.option(
    "--access-expires",
    callback=duration,
    metavar="DURATION",
    default="never",
    show_default=True,
    help="How long the device may ask.",
)
@owner_options
@json_option
def add(
    app: str,
    name: str | None,
    unlock_ip: bool,
    token_expires: float | None,
    access_expires: float | None,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Make a one-time token for a new device and print it; it is kept nowhere."""
    if token_expires is None:
        raise click.BadParameter("a one-time token always expires", param_hint="--token-expires")
    with open_owner(data, owner_file) as session:
        made = add_client(
            session,
            app=app,
            name=name,
            unlock_ip=unlock_ip,
            token_seconds=token_expires,
            access_seconds=access_expires,
        )
        ca_file = str(session.folder.ca_certificate)
    if as_json:
        data_as_json(_new_as_dict(made, ca_file))
        return
    for label, text in _new_as_lines(made, ca_file):
        print_data(f"{label + ':':<24}{text}")


@client.command(name="list")
@owner_options
@json_option
def list_devices(data: Path, owner_file: Path | None, as_json: bool) -> None:
    """List the devices, the oldest first."""
    with open_owner(data, owner_file) as session:
        found = list_clients(session)
    if as_json:
        data_as_json([_listed_as_dict(item) for item in found])
        return
    table(
        ["NAME", "APPLICATION", "STATE", "ADDRESS", "ACCESS EXPIRES", "CLIENT ID"],
        [_listed_as_row(item) for item in found],
    )


@client.command()
@click.option(
    "--client",
    "client_id",
    required=True,
    metavar="ID",
    help="The device's name, its client id, or the first characters of that.",
)
@owner_options
@json_option
def revoke(client_id: str, data: Path, owner_file: Path | None, as_json: bool) -> None:
    """Refuse a device from its next request on, for ever."""
    with open_owner(data, owner_file) as session:
        revoked = revoke_client(session, client_id)
    if as_json:
        data_as_json(_listed_as_dict(revoked))
    say(f"revoked {revoked.name}")


def _new_as_lines(made: NewClient, ca_file: str) -> list[tuple[str, str]]:
    return [
        ("One-Time Access Token", made.token),
        ("IP Lock", "Enabled" if made.address_locked else "Disabled"),
        ("Token Expires On", shown_time(made.token_expires_at)),
        ("App Access Expires On", shown_time(made.access_expires_at)),
        ("Client ID", made.client_id),
        ("Hostname", made.server_address or "(the server is not running)"),
        ("Server Public Key ID", made.server_key.key_id),
        ("Server Public Key", made.server_key.public_text),
        ("CA Certificate", ca_file),
    ]


def _new_as_dict(made: NewClient, ca_file: str) -> dict[str, object]:
    return {
        "token": made.token,
        "client_id": made.client_id,
        "ip_locked": made.address_locked,
        "token_expires": shown_time(made.token_expires_at),
        "access_expires": shown_time(made.access_expires_at),
        "hostname": made.server_address,
        "server_public_key_id": made.server_key.key_id,
        "server_public_key": made.server_key.public_text,
        "ca_file": ca_file,
    }


def _listed_as_row(item: ListedClient) -> list[str]:
    address = item.row.address or ("any" if not item.row.address_locked else "-")
    expires = shown_time(item.row.access_expires_at)
    return [item.name, item.app_name, item.state, address, expires, item.row.client_id]


def _listed_as_dict(item: ListedClient) -> dict[str, object]:
    return {
        "client_id": item.row.client_id,
        "name": item.name,
        "app": item.app_name,
        "state": item.state,
        "ip_locked": item.row.address_locked,
        "address": item.row.address,
        "created": shown_time(item.row.created_at),
        "bound": None if item.row.bound_at is None else shown_time(item.row.bound_at),
        "token_expires": shown_time(item.row.token_expires_at),
        "access_expires": shown_time(item.row.access_expires_at),
    }
