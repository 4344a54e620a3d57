"""``ksm-storage secret notation``: what a Keeper notation selects."""

from __future__ import annotations

import base64

import click

from ..engine import SecretNotFoundError
from ..errors import SettingsError
from .options import json_option
from .output import data_as_json
from .secret_lookup import Source, reveal_option, source_options
from .secret_value import print_value


@click.command(short_help="Print what a Keeper notation selects.")
@source_options
@click.argument("uri")
@reveal_option
@json_option
def notation(source: Source, uri: str, reveal: bool, as_json: bool) -> None:
    """Print what URI selects, as in keeper://RECORD/field/password or .../custom_field/LABEL[1].

    RECORD is a uid or a title. With [] behind a field all its values are printed, each on a
    line; a file is written to stdout as it is, and in base64 with --json.
    """
    print_notation(source, uri, reveal=reveal, as_json=as_json)


def print_notation(source: Source, uri: str, *, reveal: bool, as_json: bool) -> None:
    """Print what a notation selects, if the user has asked to see it.

    Raises:
        SettingsError: The user has not, or the notation is none.
        SecretNotFoundError: It selects nothing.
    """
    if not reveal:
        raise SettingsError(
            "what a notation selects may be secret", hint="add --reveal to print it all the same"
        )
    value = source.connect().get_notation(uri)
    if value is None:
        raise SecretNotFoundError("the notation selects an empty field")
    if as_json:
        data_as_json(base64.b64encode(value).decode() if isinstance(value, bytes) else value)
        return
    print_value(value)
