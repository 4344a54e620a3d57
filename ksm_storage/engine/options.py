"""What a call may ask for beyond its plain form; names are those of the official package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TransactionType = Literal["general", "rotation"]


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Narrow a query to records or folders by uid; ``request_links`` asks for links too."""

    records_filter: Sequence[str] | None = None
    folders_filter: Sequence[str] | None = None
    request_links: bool | None = None


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """Say where to create: a shared folder, and a subfolder of it if not at its top."""

    folder_uid: str
    subfolder_uid: str | None = None


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """Say how to save: as part of a transaction, and which files to detach."""

    transaction_type: TransactionType | None = None
    links_to_remove: Sequence[str] | str | None = None
