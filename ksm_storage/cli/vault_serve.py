"""``ksm-storage vault serve``: run the server."""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import SettingsError
from ..vault.data_folder import DataFolder
from .options import json_option
from .output import data as print_data
from .output import data_as_json
from .vault_options import data_option

if TYPE_CHECKING:
    from ..vault.server.running import Listening


@click.command()
@data_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 for any free port.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="What clients call this machine, for the certificate; repeatable.",
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

    Prints where it listens, the certificate that clients trust, and the server's public key,
    once connections are taken.
    """
    try:
        from ..vault.server.running import is_loopback, run_server
    except ImportError as exc:
        raise SettingsError(
            "the vault's web server is not installed",
            hint="run: pip install 'ksm-storage[vault]'",
        ) from exc
    if not is_loopback(host) and not expose:
        raise SettingsError(
            f"{host!r} can be reached from other machines",
            hint="the local vault is a development tool; add --expose to serve there all the same",
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
