"""``ksm-storage delete``: remove one value from a sealed file."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..errors import StorageError
from .existing import open_existing
from .options import path_argument, profile_option, setting_option, trusted_key_option
from .output import say
from .pace_options import pace_options


@click.command()
@path_argument
@click.argument("name")
@profile_option
@trusted_key_option
@setting_option
@pace_options
def delete(
    path: str,
    name: str,
    profile: str | None,
    keys: tuple[str, ...],
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
) -> None:
    """Remove the value NAME from the configuration in PATH."""
    storage = open_existing(path, keys, settings, profile, timeout=timeout, hedge=hedge)
    if not storage.contains(name):
        raise StorageError(f"{path!r} has no value {name!r}")
    storage.delete(name)
    say(f"deleted {name} from {path}")
