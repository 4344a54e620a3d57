"""The records of an answer: each opened when the reader comes to it, bad ones left out."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any, overload

from ..errors import DecryptionError
from ..gc_pause import gc_pause
from .record import Record

_MOST_AT_ONCE = 1024
_log = logging.getLogger(__name__)


class RecordList(Sequence[Record]):
    """List the records that open; the others are in ``bad_records``.

    The first record opens one; going on opens ahead, at most as many as were read. Its length, a
    negative index and ``bad_records`` open every record, so they are not free the first time.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._all = records
        self._good: list[Record] = []
        self._bad: list[dict[str, Any]] = []
        self._next = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<RecordList of up to {len(self._all)} records>"

    def __iter__(self) -> Iterator[Record]:
        position = 0
        while position < len(self._good) or self._reach(position):
            yield self._good[position]
            position += 1

    def __len__(self) -> int:
        self._open_all()
        return len(self._good)

    def __bool__(self) -> bool:
        return self._reach(0)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, int) and index >= 0:
            self._reach(index)
        else:
            self._open_all()
        return self._good[index]

    @property
    def sealed(self) -> Sequence[Record]:
        """Return all records as they are, opened or not, those that will not open included."""
        return self._all

    @property
    def bad_records(self) -> list[dict[str, Any]]:
        """Return what does not open: ``{"r": {"recordUid": ...}, "err": ...}`` for each."""
        self._open_all()
        return self._bad

    def by_uid(self, uid: str) -> Record | None:
        """Return the first record with this uid that opens, having opened no other."""
        for record in self._all:
            if record.uid == uid and record.opens():
                return record
        return None

    def titled(self, title: str) -> Iterator[Record]:
        """Yield the records with this title, having parsed few others."""
        needles = _spellings(title)
        for record in self._all:
            try:
                if record.may_have_title(needles) and record.title == title:
                    yield record
            except DecryptionError:
                # It is reported by whoever asks for bad_records; here it has no title.
                continue

    def _open_all(self) -> None:
        self._reach(len(self._all))

    def _reach(self, position: int) -> bool:
        """Open records until there is a good one at this position, or none is left."""
        with self._lock:
            while len(self._good) <= position and self._next < len(self._all):
                # Whoever reads on will read on: the work is done in portions, each as large as
                # what has been read, and the first of one record.
                missing = position + 1 - len(self._good)
                with gc_pause():
                    self._open(min(_MOST_AT_ONCE, max(missing, len(self._good))))
        return position < len(self._good)

    def _open(self, count: int) -> None:
        for record in self._all[self._next : self._next + count]:
            try:
                record.open()
            except DecryptionError as exc:
                _log.error("the record %.64r does not open and is left out", record.uid)
                self._bad.append({"r": {"recordUid": record.uid}, "err": exc.message})
            else:
                self._good.append(record)
            # One by one: what an interrupt leaves unopened is not lost to the next reader.
            self._next += 1


def _spellings(title: str) -> tuple[bytes, ...]:
    # A title written with escapes is found by its backslash; these are the ways without.
    return tuple({title.encode("utf-8", "surrogatepass"), json.dumps(title)[1:-1].encode()})
