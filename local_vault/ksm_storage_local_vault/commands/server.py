"""``ksm-storage vault serve, server-key, throttle``: the server and how it behaves."""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ksm_storage.cli.options import json_option
from ksm_storage.cli.output import data as print_data
from ksm_storage.cli.output import data_as_json, say
from ksm_storage.errors import SettingsError

from ..data_folder import DataFolder
from ..owner.session import get_throttle, renumber_key, rotate_key, set_throttle
from ..server_settings import SERVICE_WINDOW_SECONDS, ThrottleRule
from .options import data_option, open_owner, owner_options, some_seconds

if TYPE_CHECKING:
    from ..server.running import Listening

# More than anyone counts, and within what the database holds.
_COUNT = click.IntRange(1, 10**9)


@click.command()
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
    from ..server.running import is_loopback, run_server

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
    run_server(DataFolder(data), announce, host=host, port=port, names=names)


def _announce(listening: Listening) -> None:
    print_data(
        f"https://{listening.address} ca={listening.ca_file}"
        f" key-id={listening.server_public_key_id} key={listening.server_public_key}"
    )
    sys.stdout.flush()


def _announce_as_json(listening: Listening) -> None:
    data_as_json(dataclasses.asdict(listening))
    sys.stdout.flush()


@click.group()
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
        key = renumber_key(session) if same_key else rotate_key(session)
    if as_json:
        data_as_json({"server_public_key_id": key.key_id, "server_public_key": key.public_text})
    else:
        print_data(f"{key.key_id} {key.public_text}")
    if not same_key:
        say("clients that pinned the old server public key need the new one")


@click.command(short_help="Make the server throttle clients.")
@click.option("--next", "refuse_next", type=_COUNT, help="Throttle the next N requests.")
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
@click.option("--off", is_flag=True, help="Throttle nothing.")
@owner_options
@json_option
def throttle(
    refuse_next: int | None,
    limit: int | None,
    per: float,
    retry_after: float | None,
    off: bool,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Set when the server throttles clients, and print the rule in force.

    The service's own rule is --limit 100 --per 10.
    """
    if off and (refuse_next or limit):
        raise click.UsageError("--off cannot be combined with --next or --limit")
    with open_owner(data, owner_file) as session:
        if off or refuse_next or limit:
            set_throttle(session, ThrottleRule(refuse_next or 0, limit, per, retry_after))
        rule = get_throttle(session)
    if as_json:
        data_as_json(dataclasses.asdict(rule))
        return
    print_data(_shown(rule))


def _shown(rule: ThrottleRule) -> str:
    parts = []
    if rule.refuse_next:
        parts.append(f"the next {rule.refuse_next} requests are throttled")
    if rule.request_limit is not None:
        parts.append(
            f"{rule.request_limit} requests are allowed until a pause of {rule.window_seconds:g} s"
        )
    if parts and rule.retry_after_seconds is not None:
        parts.append(f"clients are told to wait {rule.retry_after_seconds:g} s")
    return "; ".join(parts) or "off"
