"""``ksm-storage providers``: what the installed plugins offer; imports none of them."""

from __future__ import annotations

from collections import Counter

import click

from ..keys.discovery import find_entry_points
from .options import json_option
from .output import data_as_json, say, table


@click.command()
@json_option
def providers(as_json: bool) -> None:
    """List the providers that installed plugins offer."""
    entries = sorted(find_entry_points(), key=lambda entry: (entry.name, entry.distribution))
    if as_json:
        data_as_json(
            [
                {
                    "provider": entry.name,
                    "distribution": entry.distribution,
                    "version": entry.version,
                }
                for entry in entries
            ]
        )
    else:
        table(
            ["PROVIDER", "DISTRIBUTION", "VERSION"],
            [[entry.name, entry.distribution, entry.version] for entry in entries],
        )
    counts = Counter(entry.name for entry in entries)
    for name in (name for name, count in counts.items() if count > 1):
        say(f"warning: {name!r} is offered more than once and cannot be used until one is removed")
