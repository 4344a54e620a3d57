"""``ksm-storage set``: set one value in a sealed file."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from ..errors import StorageError
from .existing import open_existing
from .options import path_argument, profile_option, setting_option, trusted_key_option
from .output import say
from .pace_options import pace_options

_LONGEST_VALUE = 1_048_576


@click.command(name="set")
@path_argument
@click.argument("name")
@click.option("--value-file", metavar="FILE", help="Read the value from this file.")
@profile_option
@trusted_key_option
@setting_option
@pace_options
def set_value(
    path: str,
    name: str,
    value_file: str | None,
    profile: str | None,
    keys: tuple[str, ...],
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
) -> None:
    """Set the value NAME of the configuration in PATH.

    The value is asked for at a terminal, else read from standard input; one line end behind it
    is cut off. It is never an argument, which every user of the machine could see.
    """
    storage = open_existing(path, keys, settings, profile, timeout=timeout, hedge=hedge)
    value = _read(name, value_file)
    if not value:
        raise StorageError(f"no value was given for {name!r}", hint="to remove it use 'delete'")
    storage.set(name, value)
    say(f"set {name} in {path}")


def _read(name: str, value_file: str | None) -> str:
    if value_file is not None:
        try:
            with open(value_file, "rb") as file:
                return _decoded(file.read(_LONGEST_VALUE + 1))
        except OSError as exc:
            raise StorageError(f"cannot read {value_file!r}: {exc.strerror}") from exc
    if sys.stdin.isatty():
        text: str = click.prompt(name, hide_input=True, err=True)
        return text
    return _decoded(sys.stdin.buffer.read(_LONGEST_VALUE + 1))


def _decoded(raw: bytes) -> str:
    if len(raw) > _LONGEST_VALUE:
        raise StorageError(f"the value is longer than {_LONGEST_VALUE} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise StorageError("the value is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
