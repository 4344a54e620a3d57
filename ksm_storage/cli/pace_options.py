"""The options that bound how long opening a file may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def pace_options(command: Command) -> Command:
    """Add ``--timeout`` and ``--hedge``."""
    timeout = click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="Bound the whole opening; each recipient has a share of the time.",
    )
    hedge = click.option(
        "--hedge",
        type=float,
        metavar="SECONDS",
        help="Ask the next recipient as well after this time without an answer.",
    )
    return timeout(hedge(command))
