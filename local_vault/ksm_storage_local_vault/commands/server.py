"""``ksm-storage vault serve, server-key, throttle``: the server and how it behaves."""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ksm_storage.cli.commands import command, group
from ksm_storage.cli.options import json_option
from ksm_storage.cli.output import echo, echo_err, echo_json, echo_line
from ksm_storage.cli.process import current_process
from ksm_storage.errors import SettingsError

from ..data_folder import DataFolder
from ..server_settings import SERVICE_WINDOW_SECONDS, ErrorStyle, ThrottleRule
from .options import data_option, open_owner, owner_options, some_seconds

if TYPE_CHECKING:
    from ..server.running import Listening

# More than anyone counts, and within what the database holds.
_COUNT = click.IntRange(1, 10**9)


@command()
@data_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 for any free port.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A host name for the certificate, as clients use it; repeatable.",
)
@click.option("--expose", is_flag=True, help="Allow a --host that other machines can reach.")
@click.option("-v", "--verbose", is_flag=True, help="Write one line per request to stderr.")
@json_option
def serve(
    data: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    expose: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    When it accepts connections, it prints its address, the certificate that clients must trust,
    and its public key.
    """
    # The web server takes longer to import than the other commands take to run.
    from ksm_storage.serving.addresses import is_loopback

    from ..server.running import run_server

    if not is_loopback(host) and not expose:
        raise SettingsError(
            f"{host!r} can be reached from other machines",
            hint="the local vault is a development tool; to serve there anyway, add --expose",
        )
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(message)s",
    )
    announce = _announce_as_json if as_json else _announce
    # The server stops in order.
    current_process().leave_signals()
    run_server(DataFolder(data), announce, host=host, port=port, names=names)


def _announce(listening: Listening) -> None:
    echo(
        f"https://{listening.address} ca={listening.ca_file}"
        f" key-id={listening.server_public_key_id} key={listening.server_public_key}"
    )
    sys.stdout.flush()


def _announce_as_json(listening: Listening) -> None:
    echo_json(dataclasses.asdict(listening))
    sys.stdout.flush()


@group()
def server_key() -> None:
    """Change the server's public key."""


@server_key.command(short_help="Replace the server's key; the old one is rejected at once.")
@click.option(
    "--same-key", is_flag=True, help="Change only the key's id; clients follow by themselves."
)
@owner_options
@json_option
def rotate(same_key: bool, data: Path, owner_file: Path | None, as_json: bool) -> None:
    """Replace the server's key; from the next request on, only the new one is accepted."""
    with open_owner(data, owner_file) as session:
        key = session.renumber_server_key() if same_key else session.rotate_server_key()
    if as_json:
        echo_json({"server_public_key_id": key.key_id, "server_public_key": key.public_text})
    else:
        echo(f"{key.key_id} {key.public_text}")
    if not same_key:
        echo_err("note: clients that pinned the old server public key need the new one")


@command(short_help="Make the server throttle clients.")
@click.option("--next", "throttle_next", type=_COUNT, help="Throttle the next N requests.")
@click.option("--limit", type=_COUNT, help="Requests allowed per client and path.")
@click.option(
    "--per",
    type=click.FloatRange(0, min_open=True),
    callback=some_seconds,
    default=SERVICE_WINDOW_SECONDS,
    show_default=True,
    help="Seconds of silence that reset the count.",
)
@click.option(
    "--retry-after",
    type=click.FloatRange(0),
    callback=some_seconds,
    help="Seconds to wait, as told to the client.",
)
@click.option(
    "--status",
    type=click.Choice(["403", "429"]),
    default="403",
    show_default=True,
    help="The HTTP status; 429 comes with a Retry-After header.",
)
@click.option("--off", is_flag=True, help="Throttle nothing.")
@owner_options
@json_option
def throttle(
    throttle_next: int | None,
    limit: int | None,
    per: float,
    retry_after: float | None,
    status: str,
    off: bool,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Set when the server throttles clients, and print the rule in force.

    The service's own rule is --limit 100 --per 10.
    """
    if off and (throttle_next or limit):
        raise click.UsageError("--off cannot be combined with --next or --limit")
    with open_owner(data, owner_file) as session:
        if off or throttle_next or limit:
            session.throttle = ThrottleRule(
                throttle_next or 0, limit, per, retry_after, int(status)
            )
        rule = session.throttle
    if as_json:
        echo_json(dataclasses.asdict(rule))
        return
    echo_line(_shown(rule))


def _shown(rule: ThrottleRule) -> str:
    parts = []
    if rule.throttle_next:
        parts.append(f"the next {rule.throttle_next} requests are throttled")
    if rule.request_limit is not None:
        parts.append(
            f"{rule.request_limit} requests are allowed until a pause of {rule.window_seconds:g} s"
        )
    if parts and rule.retry_after_seconds is not None:
        parts.append(f"clients are asked to wait {rule.retry_after_seconds:g} s")
    if parts and rule.status != 403:
        parts.append(f"with status {rule.status}")
    return "; ".join(parts) or "off"


@command(short_help="Choose how the server words its errors.")
@click.option(
    "--wording",
    type=click.IntRange(0, 9),
    help="0 for the vault's own messages, 1, 2... for messages that Keeper's service sends.",
)
@click.option(
    "--numeric-key-id/--text-key-id",
    default=None,
    help="Send the id of the wanted server key as a number or as a text.",
)
@owner_options
@json_option
def errors(
    wording: int | None,
    numeric_key_id: bool | None,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Choose how the server words its errors, and print the choice in force."""
    with open_owner(data, owner_file) as session:
        style = session.error_style
        if wording is not None or numeric_key_id is not None:
            style = session.error_style = ErrorStyle(
                style.wording if wording is None else wording,
                style.numeric_key_id if numeric_key_id is None else numeric_key_id,
            )
    if as_json:
        echo_json(dataclasses.asdict(style))
        return
    echo(f"wording {style.wording}; key id as a {'number' if style.numeric_key_id else 'text'}")
