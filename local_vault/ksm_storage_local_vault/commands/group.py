"""``ksm-storage vault``: the local vault's commands."""

from __future__ import annotations

from ksm_storage.cli.commands import group

from .owner import app, client, file, folder, record
from .server import errors, serve, server_key, throttle


@group()
def vault() -> None:
    """Run a Keeper-compatible server on this machine, and fill it.

    For development and tests. The commands encrypt; the server stores ciphertext, public keys
    and hashes. The owner's keys are in a separate file outside the server's data (--owner).
    """


for _command in (app, client, errors, file, folder, record, serve, server_key, throttle):
    vault.add_command(_command)
