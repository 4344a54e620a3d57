"""The options that the vault's commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click
import platformdirs

from ksm_storage.cli.options import GivenPath
from ksm_storage.errors import SettingsError

from ..owner.session import OwnerSession, owner_session

Command = Callable[..., Any]

_CENTURY_SECONDS = 36525 * 86400.0


def data_option(command: Command) -> Command:
    """Add ``--data``."""
    return click.option(
        "--data",
        type=GivenPath(file_okay=False, resolve_path=True, path_type=Path),
        envvar="KSM_STORAGE_VAULT_DATA",
        default=_default_data,
        metavar="DIR",
        help="The server's data folder [default: in the user's data folder].",
    )(command)


def _default_data() -> Path:
    try:
        return platformdirs.user_data_path("ksm-storage") / "vault"
    except RuntimeError as exc:
        raise SettingsError(
            "this user has no home directory for a data folder", hint="name a folder with --data"
        ) from exc


def owner_options(command: Command) -> Command:
    """Add ``--data`` and ``--owner``."""
    command = click.option(
        "--owner",
        "owner_file",
        type=GivenPath(dir_okay=False, resolve_path=True, path_type=Path),
        envvar="KSM_STORAGE_VAULT_OWNER",
        metavar="FILE",
        help="The owner's keys [default: DIR-owner/owner.json beside the data folder].",
    )(command)
    return data_option(command)


def app_option(command: Command) -> Command:
    """Add ``--app``."""
    return click.option(
        "--app", required=True, metavar="NAME", help="The application's name or uid."
    )(command)


def source_argument(command: Command) -> Command:
    """Add the argument FILE, stdin by default."""
    return click.argument(
        "source", metavar="[FILE]", type=click.File("rb"), default="-", required=False
    )(command)


def open_owner(data: Path, owner_file: Path | None) -> AbstractContextManager[OwnerSession]:
    """Open the vault as its owner; create a vault that does not exist yet."""
    return owner_session(data, owner_file)


def read_json(content: bytes) -> object:
    """Return the parsed content; raise SettingsError, which quotes nothing from it."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        pass
    # Not in the except block: a parser's exception keeps the whole text.
    raise SettingsError("the input is not valid JSON", hint="check it with: python -m json.tool")


def some_seconds(
    _ctx: click.Context, _param: click.Parameter, seconds: float | None
) -> float | None:
    """Return a number of seconds that clients can be told; reject infinity and NaN."""
    if seconds is not None and not 0 <= seconds <= _CENTURY_SECONDS:
        raise click.BadParameter("must be a number of seconds up to a hundred years")
    return seconds
