"""``ksm-storage relay``: run the relay, and add, list and revoke its clients."""

from __future__ import annotations

import base64
import functools
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SettingsError, StorageError
from ..keys.known_providers import extra_install_hint
from .commands import command, group
from .options import Command, GivenPath, connection_options, duration, json_option, shown_time
from .output import echo, echo_err, echo_json, echo_table
from .process import current_process
from .sealed_file import SealedFile, sealed_file_options

if TYPE_CHECKING:
    from ..relay.grant import Client, Grant
    from ..relay.server import Listening
    from ..relay.state import RelayState
    from ..storage.encrypted_storage import EncryptedStorage

_TOKEN_SECONDS = 3600
_STATUS_TIMEOUT_SECONDS = 5
_MAX_PORT = 65535


@group()
def relay() -> None:
    """Give programs a few records through a local endpoint.

    The relay speaks the Secrets Manager protocol, so that every SDK works with it. Each client
    has a configuration of its own, which opens nothing but the records it was given.
    """


def _state_option(command: Command) -> Command:
    @functools.wraps(command)
    def gathered(*, file: SealedFile, state: Path | None, **others: object) -> Any:
        try:
            from ..relay.server import default_folder
        except ImportError as exc:
            raise SettingsError(
                "the relay's web server is not installed", hint=extra_install_hint("relay")
            ) from exc
        return command(file=file, folder=state or default_folder(file.path), **others)

    return sealed_file_options(
        click.option(
            "--state",
            type=GivenPath(file_okay=False, path_type=Path),
            envvar="KSM_STORAGE_RELAY_STATE",
            metavar="DIR",
            help="The relay's own folder [default: PATH.relay].",
        )(gathered)
    )


@command(short_help="Run the relay.")
@_state_option
@click.option("--listen", metavar="HOST:PORT", help="The address to listen on.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A further host name for the certificate, as clients use it; repeatable.",
)
@click.option(
    "--socket",
    "unix_socket",
    type=GivenPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A Unix socket to listen on as well.",
)
@click.option("--expose", is_flag=True, help="Allow an address that other machines can reach.")
@click.option(
    "--cache",
    type=click.FloatRange(0, 86400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="The maximum age of an answer from Keeper.",
)
@click.option(
    "--offline-copy",
    type=GivenPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the last answer here, sealed, for when Keeper is unreachable.",
)
@connection_options
@click.option("-v", "--verbose", is_flag=True, help="Write one line per request to stderr.")
@json_option
def serve(
    file: SealedFile,
    folder: Path,
    listen: str | None,
    names: tuple[str, ...],
    unix_socket: Path | None,
    expose: bool,
    cache: float,
    offline_copy: Path | None,
    ca_file: str | None,
    proxy: str | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the relay until SIGTERM or Ctrl-C.

    It prints its address when it accepts connections. SIGHUP makes it fetch anew.
    """
    from ..relay.server import RelaySettings, run_relay

    host, port = _split(listen)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(message)s",
    )
    settings = RelaySettings(
        folder=folder,
        host=host,
        port=port,
        names=names,
        unix_socket=unix_socket,
        exposed=expose,
        cache_seconds=cache,
        offline_copy=offline_copy,
        ca_file=ca_file,
        proxy=proxy,
    )
    storage = file.open()
    current_process().leave_signals()  # the server stops in order
    run_relay(storage, settings, _announce_as_json if as_json else _announce)


@command(short_help="Show whether the relay is running, and its state.")
@_state_option
@json_option
def status(file: SealedFile, folder: Path, as_json: bool) -> None:
    """Show whether the relay runs, the age of its answer, and how many clients it has."""
    with _opened(file, folder) as (state, _):
        clients = state.clients()
    running = _running(folder)
    active = [client for client in clients if client.state(now=_now()) == "bound"]
    report: dict[str, object] = {
        "running": running is not None,
        "clients": len(clients),
        "active_clients": len(active),
        **(running or {}),
    }
    if as_json:
        echo_json(report)
        return
    report["running"] = "no" if running is None else "yes"
    for name, value in report.items():
        echo(f"{name.replace('_', ' ') + ':':<24}{value}")


@group()
def client() -> None:
    """Add, list and revoke the clients of the relay."""


@command("add", short_help="Add a client and print its configuration.")
@_state_option
@click.argument("name")
@click.option(
    "--record",
    "records",
    multiple=True,
    metavar="UID|TITLE",
    help="A record; '*' in a title matches any text; repeatable.",
)
@click.option(
    "--folder",
    "folders",
    multiple=True,
    metavar="UID",
    help="A shared folder or subfolder, with all below it; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Every record of the application.")
@click.option("--read-only", is_flag=True, help="The client cannot change anything.")
@click.option(
    "--expires",
    callback=duration,
    default="never",
    show_default=True,
    metavar="DURATION",
    help="How long it has access: 90s, 10m, 2h, 7d.",
)
@click.option("--lock-ip", is_flag=True, help="Lock it to the first address it uses.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["base64", "json", "token"]),
    default="base64",
    show_default=True,
    help="A configuration, or a one-time token that is valid for an hour.",
)
@json_option
def client_add(
    file: SealedFile,
    folder: Path,
    name: str,
    records: tuple[str, ...],
    folders: tuple[str, ...],
    everything: bool,
    read_only: bool,
    expires: float | None,
    lock_ip: bool,
    form: str,
    as_json: bool,
) -> None:
    """Add a client called NAME and print its configuration; it is not stored.

    The configuration opens nothing but the given records, at this relay only.
    """
    from ..engine import ConfigKeys
    from ..relay.grant import Grant, new_bound_client, new_waiting_client, validate_client

    grant = Grant(records, folders, everything, read_only)
    validate_client(name, grant)
    expires_at = None if expires is None else _now() + round(expires * 1000)
    with _opened(file, folder) as (state, config):
        identity = state.identity()
        if form == "token":
            made, token = new_waiting_client(
                name,
                grant,
                now=_now(),
                expires_at=expires_at,
                token_expires_at=_now() + _TOKEN_SECONDS * 1000,
                address_locked=lock_ip,
            )
            own: Mapping[str, str] = {"token": token}
        else:
            made, own = new_bound_client(
                name, grant, now=_now(), expires_at=expires_at, address_locked=lock_ip
            )
        state.add(made)
        owner_key = config.get(ConfigKeys.KEY_OWNER_PUBLIC_KEY) or ""
        configuration = json.dumps(identity.configuration(owner_key, own))
        ca_file = state.ca_file
    text = base64.b64encode(configuration.encode()).decode() if form == "base64" else configuration
    if as_json:
        content = {"name": name, "client_id": made.client_id, "form": form}
        echo_json({**content, "configuration": text, "ca_file": str(ca_file)})
        return
    echo(text)
    echo_err(f"the client must trust {ca_file}, e.g. with REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS")


@command("list", short_help="List the clients with their last use.")
@_state_option
@json_option
def client_list(file: SealedFile, folder: Path, as_json: bool) -> None:
    """List the clients, the oldest first."""
    with _opened(file, folder) as (state, _):
        clients = state.clients()
    if as_json:
        echo_json([_as_dict(client) for client in clients])
        return
    echo_table(
        ["NAME", "STATE", "ACCESS", "EXPIRES", "LAST USED"],
        [
            [
                client.name,
                client.state(now=_now()),
                _granted(client.grant),
                shown_time(client.access_expires_at),
                shown_time(client.last_used_at),
            ]
            for client in clients
        ],
        empty="this relay has no clients; add one with: ksm-storage relay client add PATH NAME",
    )


@command("revoke", short_help="End the access of a client.")
@_state_option
@click.argument("name")
@json_option
def client_revoke(file: SealedFile, folder: Path, name: str, as_json: bool) -> None:
    """End the access of the client called NAME, from its next request on."""
    with _opened(file, folder) as (state, _):
        revoked = state.revoke(name, now=_now())
    if as_json:
        echo_json(_as_dict(revoked))
        return
    echo_err(f"revoked {revoked.name}")


for _command in (client_add, client_list, client_revoke):
    client.add_command(_command)
for _command in (client, serve, status):
    relay.add_command(_command)


@contextmanager
def _opened(file: SealedFile, folder: Path) -> Iterator[tuple[RelayState, EncryptedStorage]]:
    from ..relay.server import open_state

    config = file.open()
    state = open_state(config, folder)
    try:
        yield state, config
    finally:
        state.close()


def _running(folder: Path) -> dict[str, object] | None:
    """Return what a running relay says of itself, or None when none runs."""
    import http.client
    import ssl

    try:
        address = str(json.loads((folder / "address.json").read_bytes())["address"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as exc:
        raise StorageError(f"cannot read the address of the relay in {str(folder)!r}") from exc
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPSConnection(
        host.strip("[]"), int(port), context=context, timeout=_STATUS_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except OSError:
        # It was killed, and left the file.
        return None
    finally:
        connection.close()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    wanted = {
        "answer_age_seconds": "ksm_relay_answer_age_seconds",
        "records": "ksm_relay_records",
        "keeper_failures": "ksm_relay_keeper_failures_total",
    }
    found = {name: int(values[key]) for name, key in wanted.items() if key in values}
    return {"address": address, **found}


def _announce(listening: Listening) -> None:
    echo(f"https://{listening.address} ca={listening.ca_file}")
    sys.stdout.flush()


def _announce_as_json(listening: Listening) -> None:
    import dataclasses

    echo_json({**dataclasses.asdict(listening), "process": os.getpid()})
    sys.stdout.flush()


def _split(listen: str | None) -> tuple[str | None, int | None]:
    if listen is None:
        return None, None
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise click.BadParameter("must be HOST:PORT", param_hint="--listen")
    return host.strip("[]") or None, int(port)


def _granted(grant: Grant) -> str:
    parts = [*grant.records, *(f"folder {uid}" for uid in grant.folders)]
    text = "all records" if grant.everything else ", ".join(parts)
    return f"{text} (read-only)" if grant.read_only else text


def _as_dict(client: Client) -> dict[str, object]:
    return {
        "name": client.name,
        "client_id": client.client_id,
        "state": client.state(now=_now()),
        "records": list(client.grant.records),
        "folders": list(client.grant.folders),
        "all": client.grant.everything,
        "read_only": client.grant.read_only,
        "created": shown_time(client.created_at),
        "expires": shown_time(client.access_expires_at),
        "last_used": None if client.last_used_at is None else shown_time(client.last_used_at),
        "address": client.address if client.address_locked else None,
    }


def _now() -> int:
    return time.time_ns() // 1_000_000
