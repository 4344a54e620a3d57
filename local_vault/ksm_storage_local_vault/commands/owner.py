"""``ksm-storage vault app, folder, record, file, client``: what the owner of a vault does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from ksm_storage.cli.commands import group
from ksm_storage.cli.options import GivenPath, duration, json_option, shown_time
from ksm_storage.cli.output import echo, echo_err, echo_json, echo_line, echo_table
from ksm_storage.errors import SettingsError

from ..data_folder import read_private
from ..owner.access import (
    ListedClient,
    NewClient,
    add_client,
    create_application,
    list_clients,
    revoke_client,
)
from ..owner.folders import add_folder
from ..owner.records import RecordJson, add_file, add_records, add_shortcut
from .options import (
    app_option,
    open_owner,
    owner_options,
    read_json,
    source_argument,
)


@group()
def app() -> None:
    """Create applications."""


@app.command("create")
@click.argument("name")
@owner_options
@json_option
def app_create(name: str, data: Path, owner_file: Path | None, as_json: bool) -> None:
    """Create an application called NAME and print its uid."""
    with open_owner(data, owner_file) as session:
        application = create_application(session, name)
    if as_json:
        echo_json({"app_uid": application.app_uid, "name": application.name})
        return
    echo(application.app_uid)


@group()
def folder() -> None:
    """Create shared folders and subfolders."""


@folder.command("add", short_help="Create a folder, shared with the application.")
@click.argument("name")
@app_option
@click.option("--parent", metavar="FOLDER", help="The parent folder's name or uid.")
@click.option("--read-only", is_flag=True, help="Devices cannot change what it contains.")
@owner_options
@json_option
def folder_add(
    name: str,
    app: str,
    parent: str | None,
    read_only: bool,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Create a folder called NAME, shared with the application, and print its uid."""
    with open_owner(data, owner_file) as session:
        made = add_folder(session, name, app=app, parent=parent, read_only=read_only)
    if as_json:
        content = {"folder_uid": made.folder_uid, "shared_folder_uid": made.root_uid}
        echo_json({**content, "name": made.name})
        return
    echo(made.folder_uid)


@group()
def record() -> None:
    """Add records from JSON.

    A record has the service's own form, with title, type, fields, custom and notes:
    {"title": "db", "type": "login", "fields": [{"type": "login", "value": ["bob"]}]}.
    It may also have folder, flat, shortcuts, uid, readOnly and links.
    """


@record.command("add")
@source_argument
@app_option
@click.option("--folder", metavar="FOLDER", help="The folder's name or uid [default: none].")
@click.option(
    "--flat", is_flag=True, help="List the record beside its shared folder, as Keeper's pages do."
)
@owner_options
@json_option
def record_add(
    source: BinaryIO,
    app: str,
    folder: str | None,
    flat: bool,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Add the record in FILE or stdin and print its uid."""
    parsed = read_json(source.read())
    if not isinstance(parsed, dict):
        raise SettingsError(
            "the input is not a single record",
            hint="add a list with: ksm-storage vault record import",
        )
    if flat:
        parsed["flat"] = True
    _add_records([parsed], app, folder, data, owner_file, as_json=as_json)


@record.command("import", short_help="Add a list of records from JSON.")
@source_argument
@app_option
@click.option("--folder", metavar="FOLDER", help="The folder for records that name none.")
@owner_options
@json_option
def record_import(
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
        raise SettingsError(
            "the input is not a list of records",
            hint="add a single record with: ksm-storage vault record add",
        )
    _add_records(records, app, folder, data, owner_file, as_json=as_json)


def _add_records(
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
        echo_json({"record_uids": uids})
        return
    for uid in uids:
        echo(uid)


@record.command("shortcut", short_help="Put a record into one more folder.")
@click.argument("uid")
@app_option
@click.option(
    "--folder", metavar="FOLDER", help="The folder's name or uid [default: shared directly]."
)
@click.option("--flat", is_flag=True, help="List the record beside that shared folder.")
@owner_options
@json_option
def record_shortcut(
    uid: str,
    app: str,
    folder: str | None,
    flat: bool,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Put the record UID into one more folder, so that clients see it twice."""
    with open_owner(data, owner_file) as session:
        add_shortcut(session, uid, app=app, folder=folder, flat=flat)
    if as_json:
        echo_json({"record_uid": uid, "folder": folder, "status": "done"})


@group()
def file() -> None:
    """Attach files to records."""


@file.command("add")
@click.argument("path", type=GivenPath(dir_okay=False, path_type=Path))
@app_option
@click.option("--record", "record_uid", required=True, metavar="UID", help="The record's uid.")
@click.option("--title", help="The file's title [default: its name].")
@owner_options
@json_option
def file_add(
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
        echo_json({"file_uid": uid, "record_uid": record_uid})
        return
    echo(uid)


@group()
def client() -> None:
    """Create one-time tokens, list devices and revoke them."""


@client.command("add", short_help="Create a one-time token for a new device.")
@app_option
@click.option("--name", help="A name for the device.")
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
    help="How long the device has access.",
)
@owner_options
@json_option
def client_add(
    app: str,
    name: str | None,
    unlock_ip: bool,
    token_expires: float | None,
    access_expires: float | None,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Create a one-time token for a new device and print it; it is not stored."""
    if token_expires is None:
        raise click.BadParameter("a one-time token must expire", param_hint="--token-expires")
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
        echo_json(_new_as_dict(made, ca_file))
        return
    for label, text in _new_as_lines(made, ca_file):
        echo_line(f"{label + ':':<24}{text}")


@client.command("list")
@owner_options
@json_option
def client_list(data: Path, owner_file: Path | None, as_json: bool) -> None:
    """List the devices, the oldest first."""
    with open_owner(data, owner_file) as session:
        found = list_clients(session)
    if as_json:
        echo_json([_listed_as_dict(item) for item in found])
        return
    echo_table(
        ["NAME", "APPLICATION", "STATE", "ADDRESS", "ACCESS EXPIRES", "CLIENT ID"],
        [_listed_as_row(item) for item in found],
        empty="no client devices; create a token with: ksm-storage vault client add --app NAME",
    )


@client.command("revoke")
@click.option(
    "--client",
    "client_id",
    required=True,
    metavar="ID",
    help="The device's name, or at least the first six characters of its client id.",
)
@owner_options
@json_option
def client_revoke(client_id: str, data: Path, owner_file: Path | None, as_json: bool) -> None:
    """Reject a device from its next request on; this cannot be undone."""
    with open_owner(data, owner_file) as session:
        revoked = revoke_client(session, client_id)
    if as_json:
        echo_json(_listed_as_dict(revoked))
    echo_err(f"revoked {revoked.name}")


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
