"""Every command and group of the command line, in the order of its name."""

from __future__ import annotations

from collections.abc import Iterator

import click

from .main import cli


def all_commands() -> Iterator[click.Context]:
    """Yield a context for ``ksm-storage`` itself, and one for each command below it."""
    yield from _below(_context(cli, "ksm-storage", None))


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _below(_context(command, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    # As click would print it at a terminal of 80 columns, whatever terminal it is made at.
    return click.Context(
        command,
        parent,
        info_name=name,
        terminal_width=78,
        **command.context_settings,
    )
