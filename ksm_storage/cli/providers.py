"""``ksm-storage providers`` and ``keygen``: where keys come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from ..keys.discovery import BUILT_IN, EntryPoint, find_entry_points
from .commands import command
from .options import PATH, json_option
from .output import echo, echo_err, echo_json, echo_table


@command()
@json_option
def providers(as_json: bool) -> None:
    """List the key providers of the installed plugins."""
    entries = sorted(find_entry_points(), key=lambda entry: (entry.name, entry.distribution))
    if as_json:
        echo_json(
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
        echo_table(
            ["PROVIDER", "DISTRIBUTION", "VERSION"],
            [[entry.name, entry.distribution, entry.version] for entry in entries],
        )
    _warn_of_conflicts(entries)


def _warn_of_conflicts(entries: Sequence[EntryPoint]) -> None:
    counts = Counter(entry.name for entry in entries if entry.name not in BUILT_IN)
    for name in (name for name, count in counts.items() if count > 1):
        echo_err(f"warning: {name!r} has several plugins and cannot be used; uninstall all but one")
    for entry in entries:
        if BUILT_IN.get(entry.name, entry.module) != entry.module:
            echo_err(
                f"warning: {entry.name!r} is built in; the one from {entry.distribution} is never "
                "used: uninstall it"
            )


@command()
@click.argument("path", type=PATH)
@json_option
def keygen(path: str, as_json: bool) -> None:
    """Create a key file at PATH, readable only by you, and print its URI."""
    from ..providers.key_file import key_uri_of, write_key_file

    absolute = write_key_file(path)
    uri = key_uri_of(absolute)
    if as_json:
        echo_json({"key": uri, "path": absolute})
    else:
        echo(uri)
    echo_err("note: keep a copy elsewhere; files sealed under this key cannot be opened without it")
