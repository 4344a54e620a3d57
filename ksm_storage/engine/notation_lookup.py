"""From a notation to the record it names, and on to the value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .errors import SecretNotFoundError
from .notation_syntax import parse_notation
from .notation_values import all_values, single_value
from .record import Record
from .record_list import RecordList
from .references import inflate

_UID = re.compile(r"[A-Za-z0-9_-]{22}")


class NotationLookup:
    """Resolve notations with a function that fetches records by uid, all for none."""

    def __init__(self, fetch: Callable[[list[str] | None], RecordList]) -> None:
        self._fetch = fetch

    def single(self, text: str) -> Any:
        """Return one value, or all of a field for ``[]``."""
        notation = parse_notation(text, property_first=True)
        return single_value(self._record(notation.record), notation, self._inflate)

    def results(self, text: str) -> list[str]:
        """Return all values as text."""
        notation = parse_notation(text)
        return all_values(self._record(notation.record), notation)

    def _inflate(self, uids: list[str], field_type: str) -> list[Any]:
        return inflate(uids, field_type, self._fetch)

    def _record(self, uid_or_title: str) -> Record:
        if _UID.fullmatch(uid_or_title):
            # A record that is shared twice arrives twice; both are the same one.
            for record in self._fetch([uid_or_title]):
                return record
        found = list(self._fetch(None).titled(uid_or_title))
        if len(found) != 1:
            raise SecretNotFoundError(
                f"{len(found) or 'no'} records have the uid or title {uid_or_title!r}",
                hint="use the uid where titles are not unique" if found else None,
            )
        return found[0]
