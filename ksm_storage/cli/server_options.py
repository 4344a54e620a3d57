"""The options that say how the Keeper server is reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..errors import SettingsError

Command = Callable[..., Any]


def connection_options(command: Command) -> Command:
    """Add ``--ca-file`` and ``--proxy``."""
    command = click.option(
        "--proxy",
        "proxy",
        metavar="URL",
        callback=_without_password,
        help="An http proxy; one with a password is taken from $HTTPS_PROXY only.",
    )(command)
    return click.option(
        "--ca-file",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="The certificate authority of a private server.",
    )(command)


def _without_password(_ctx: click.Context, _param: click.Parameter, url: str | None) -> str | None:
    if url is not None and "@" in url:
        # The URL is not repeated: the password would be in it.
        raise SettingsError(
            "a proxy's user and password do not belong on a command line",
            hint="set HTTPS_PROXY, which other users of this machine cannot see",
        )
    return url
