"""Connect with a sealed configuration, and find one record by uid or title."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from ..engine import Record, SecretNotFoundError, SecretsManager
from .existing import open_existing
from .options import path_argument, profile_option, setting_option, trusted_key_option
from .server_options import connection_options

Command = Callable[..., Any]

NOTATION_PREFIX = "keeper://"

_UID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Source:
    """Hold which sealed file to use and how the server is reached."""

    path: str
    profile: str | None
    keys: tuple[str, ...]
    settings: Mapping[str, Mapping[str, object]]
    ca_file: str | None
    proxy: str | None

    def connect(self) -> SecretsManager:
        """Open the file and return a client that has sent nothing yet."""
        storage = open_existing(self.path, self.keys, self.settings, self.profile)
        return SecretsManager(config=storage, ca_file=self.ca_file, proxy_url=self.proxy)


def source_options(command: Command) -> Command:
    """Add PATH and all options of :class:`Source`, and hand them over as one."""

    def gathered(
        path: str,
        profile: str | None,
        keys: tuple[str, ...],
        settings: Mapping[str, Mapping[str, object]],
        ca_file: str | None,
        proxy: str | None,
        **others: object,
    ) -> Any:
        source = Source(path, profile, keys, settings, ca_file, proxy)
        return command(source=source, **others)

    gathered.__doc__ = command.__doc__
    gathered.__name__ = command.__name__
    # click keeps the parameters that were declared so far on the function itself.
    gathered.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (connection_options, setting_option, trusted_key_option, profile_option):
        gathered = option(gathered)
    return path_argument(gathered)


def reveal_option(command: Command) -> Command:
    """Add ``--reveal``."""
    return click.option("--reveal", is_flag=True, help="Show the values too.")(command)


def find_record(manager: SecretsManager, name: str) -> Record:
    """Return the only record with this uid or title.

    Raises:
        SecretNotFoundError: There is none, or the title has several.
    """
    if _UID.fullmatch(name):
        found = manager.get_secrets([name]).by_uid(name)
        if found is not None:
            return found
    titled = list(manager.get_secrets().titled(name))
    if len(titled) != 1:
        raise SecretNotFoundError(
            f"{len(titled) or 'no'} records have the uid or title {name!r}",
            hint="name one by its uid" if titled else "'ksm-storage secret list' shows them",
        )
    return titled[0]
