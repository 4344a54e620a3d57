"""``ksm-storage keygen``: write a new key file."""

from __future__ import annotations

import click

from ..providers.key_file import key_uri_of, write_key_file
from .options import json_option
from .output import data, data_as_json, say


@click.command()
@click.argument("path", type=click.Path())
@json_option
def keygen(path: str, as_json: bool) -> None:
    """Write a new key to the file PATH, readable by you alone, and print its URI."""
    absolute = write_key_file(path)
    uri = key_uri_of(absolute)
    if as_json:
        data_as_json({"key": uri, "path": absolute})
    else:
        data(uri)
    say("note: keep a copy elsewhere; without this file nothing opens what it sealed")
