"""``ksm-storage get``: one value of a sealed file."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..config.fields import is_secret
from ..errors import SettingsError, StorageError
from .existing import open_existing
from .options import (
    json_option,
    path_argument,
    profile_option,
    setting_option,
    trusted_key_option,
)
from .output import data, data_as_json
from .pace_options import pace_options


@click.command()
@path_argument
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Print the value even if it is secret.")
@profile_option
@trusted_key_option
@setting_option
@pace_options
@json_option
def get(
    path: str,
    name: str,
    reveal: bool,
    profile: str | None,
    keys: tuple[str, ...],
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> None:
    """Print the value NAME (hostname, clientId, ...) of the configuration in PATH."""
    if is_secret(name) and not reveal:
        raise SettingsError(
            f"the value of {name!r} is secret", hint="add --reveal to print it all the same"
        )
    storage = open_existing(path, keys, settings, profile, timeout=timeout, hedge=hedge)
    value = storage.get(name)
    if value is None:
        raise StorageError(f"{path!r} has no value {name!r}")
    if as_json:
        data_as_json({name: value})
        return
    data(value)
