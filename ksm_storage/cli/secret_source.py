"""The application whose secrets a command reads: a sealed file, and how its server is reached."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .options import Command, connection_options
from .references import Reference, Resolver
from .sealed_file import SealedFile, sealed_file_options

if TYPE_CHECKING:
    from ..engine import Record, SecretsManager

NOTATION_PREFIX = "keeper://"

_UID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Source:
    """Hold which sealed file to use and how the server is reached."""

    file: SealedFile
    ca_file: str | None
    proxy: str | None

    def connect(self, offline_copy: str | None = None) -> SecretsManager:
        """Open the file and return a client that has sent nothing yet.

        Args:
            offline_copy: A file for the last answer, used if the server is unreachable.
        """
        from ..engine import SecretsManager

        return SecretsManager(
            config=self.file.open(),
            ca_file=self.ca_file,
            proxy_url=self.proxy,
            offline_copy=offline_copy,
        )

    def resolver(self, references: Sequence[Reference], offline_copy: str | None) -> Resolver:
        """Open the file and return what resolves the references with one request."""
        from ..engine.notation_lookup import named_uids

        uids = None
        if offline_copy is None:
            # A copy that is to replace the server holds everything.
            uids = named_uids(reference.notation for reference in references)
        return Resolver(self.connect(offline_copy), uids)


def source_options(command: Command) -> Command:
    """Add PATH and all options of :class:`Source`, and pass them on as ``source``."""

    @functools.wraps(command)
    def gathered(
        *, file: SealedFile, ca_file: str | None, proxy: str | None, **others: object
    ) -> Any:
        return command(source=Source(file, ca_file, proxy), **others)

    return sealed_file_options(connection_options(gathered))


def reveal_option(command: Command) -> Command:
    """Add ``--reveal``."""
    return click.option("--reveal", is_flag=True, help="Also show secret values.")(command)


def find_record(manager: SecretsManager, name: str) -> Record:
    """Return the only record with this uid or title.

    Raises:
        SecretNotFoundError: No record has it, or several have the title.
    """
    from ..engine import SecretNotFoundError

    if _UID.fullmatch(name):
        found = manager.get_secrets([name]).by_uid(name)
        if found is not None:
            return found
    titled = list(manager.get_secrets().titled(name))
    if not titled:
        raise SecretNotFoundError(
            f"no record has the uid or title {name!r}",
            hint="list the records with 'ksm-storage secret list'",
        )
    if len(titled) > 1:
        raise SecretNotFoundError(
            f"{len(titled)} records have the title {name!r}", hint="use the record's uid"
        )
    return titled[0]
