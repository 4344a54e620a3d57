"""``ksm-storage vault``: the local vault's commands, each loaded when it is used."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "app": "Make applications.",
    "client": "Give out one-time tokens, list and revoke devices.",
    "file": "Attach files to records.",
    "folder": "Make shared folders and folders below them.",
    "record": "Add records from JSON.",
    "serve": "Run the server.",
    "server-key": "Make the server ask for another server key.",
    "throttle": "Make the server ask clients for patience.",
}


class _VaultCommands(click.Group):
    """Import a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(importlib.import_module(f"{__package__}.vault_{name}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"vault_{name} has no command {name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=_VaultCommands)
def vault() -> None:
    """Run a Keeper-compatible server on this machine, and fill it.

    For development and tests. The commands encrypt; the server stores ciphertext, public keys
    and hashes. The owner's keys are in a file of their own beside the server's data (--owner).
    """
