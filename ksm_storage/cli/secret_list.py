"""``ksm-storage secret list``."""

from __future__ import annotations

import click

from .options import json_option
from .output import data_as_json, table
from .secret_lookup import Source, source_options


@click.command(name="list", short_help="List the records shared with the application.")
@source_options
@json_option
def list_secrets(source: Source, as_json: bool) -> None:
    """List the records that are shared with the application, by title."""
    records = sorted(source.connect().get_secrets(), key=lambda record: (record.title, record.uid))
    if as_json:
        data_as_json([{"uid": r.uid, "type": r.type, "title": r.title} for r in records])
        return
    table(["UID", "TYPE", "TITLE"], [[r.uid, r.type, r.title] for r in records])
