"""The records of an answer: a list whose records are decrypted when the reader reaches them."""

from __future__ import annotations

import copy
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, SupportsIndex, overload

from ..errors import DecryptionError
from ..process import gc_pause
from .record import Record
from .record_content import parse_contents

_MAX_AT_ONCE = 1024
# Below that, one by one is as fast.
_MIN_AT_ONCE = 16
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")

# What a list does that concerns all of its items: they are decrypted first.
_CONCERN_ALL = (
    "__add__",
    "__contains__",
    "__delitem__",
    "__eq__",
    "__ge__",
    "__gt__",
    "__iadd__",
    "__imul__",
    "__le__",
    "__len__",
    "__lt__",
    "__mul__",
    "__ne__",
    "__repr__",
    "__reversed__",
    "__rmul__",
    "__setitem__",
    "append",
    "clear",
    "copy",
    "count",
    "extend",
    "index",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
)


class RecordList(list[Record]):
    """List the records that can be decrypted, each uid once; the others are in ``bad_records``.

    The first record decrypts one; reading on decrypts ahead, at most as many as were read.
    Everything that concerns the whole list, such as its length, decrypts every record first.
    The list proper holds the records so far.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        super().__init__()
        self._all = records
        self._seen: set[str] = set()
        self._bad: list[dict[str, Any]] = []
        self._next = 0
        self._lock = threading.RLock()

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return (list, (list(self),))

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Record]:
        return [copy.deepcopy(record, memo) for record in self]

    def __iter__(self) -> Iterator[Record]:
        position = 0
        while position < list.__len__(self) or self._reach(position):
            yield list.__getitem__(self, position)
            position += 1

    def __bool__(self) -> bool:
        return self._reach(0)

    def __radd__(self, other: list[Any]) -> list[Any]:
        # Without it, list + RecordList would take only what has been decrypted so far.
        return [*other, *self]

    @overload
    def __getitem__(self, index: SupportsIndex) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Record | list[Record]:
        if isinstance(index, int) and index >= 0:
            self._reach(index)
        else:
            self._reach_all()
        return list.__getitem__(self, index)

    @property
    def sealed(self) -> Sequence[Record]:
        """Return all records as they came, decrypted or not, bad ones included."""
        return self._all

    @property
    def bad_records(self) -> list[dict[str, Any]]:
        """Return what cannot be decrypted: ``{"r": {"recordUid": ...}, "err": ...}`` for each."""
        self._reach_all()
        # A record that was listed twice may have opened in its other place.
        return [bad for bad in self._bad if bad["r"]["recordUid"] not in self._seen]

    def by_uid(self, uid: str) -> Record | None:
        """Return the first record with this uid that can be decrypted, decrypting no other."""
        for record in self._all:
            if record.uid == uid and record.opens():
                return record
        return None

    def titled(self, title: str) -> Iterator[Record]:
        """Yield the records with this title, each uid once, having parsed few others."""
        needles = _spellings(title)
        seen: set[str] = set()
        for record in self._all:
            if record.uid in seen:
                continue
            try:
                if record.may_have_title(needles) and record.title == title:
                    seen.add(record.uid)
                    yield record
            except DecryptionError:
                # Only bad_records names it; here it has no title.
                continue

    def _reach_all(self) -> None:
        self._reach(len(self._all))

    def _reach(self, position: int) -> bool:
        """Decrypt records until there is one at this position, or none is left."""
        if self._next < len(self._all):
            with self._lock:
                while (read := list.__len__(self)) <= position and self._next < len(self._all):
                    # Whoever reads on will read on: the work is done in portions, each as large
                    # as what has been read, and the first of one record.
                    with gc_pause():
                        self._decrypt(min(_MAX_AT_ONCE, max(position + 1 - read, read)))
        return position < list.__len__(self)

    def _decrypt(self, count: int) -> None:
        portion = self._all[self._next : self._next + count]
        if len(portion) >= _MIN_AT_ONCE:
            _open_at_once([record for record in portion if record.uid not in self._seen])
        for record in portion:
            # A shortcut lists one record in several places; an empty uid names nothing.
            if record.uid not in self._seen:
                try:
                    record.open()
                except DecryptionError as exc:
                    _log.error("cannot decrypt the record %.64r; it is left out", record.uid)
                    self._bad.append({"r": {"recordUid": record.uid}, "err": exc.message})
                else:
                    if record.uid:
                        self._seen.add(record.uid)
                    list.append(self, record)
            # One by one: what an interrupt leaves undone is not lost to the next reader.
            self._next += 1


def _open_at_once(records: Sequence[Record]) -> None:
    """Open those of the records that open; the others say why when they are opened alone."""
    opened: list[Record] = []
    plaintexts: list[bytes] = []
    # Not with contextlib.suppress: for thousands of records it takes a tenth of the time.
    for record in records:
        try:
            plaintexts.append(record.decrypted())
        except DecryptionError:
            continue
        opened.append(record)
    contents = parse_contents(plaintexts)
    if contents is None:
        return
    for record, content in zip(opened, contents, strict=True):
        try:
            record.take(content)
        except DecryptionError:
            continue


def _concerning_all(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def call(self: RecordList, *args: Any, **keywords: Any) -> Any:
        for given in (self, *args):
            if isinstance(given, RecordList):
                given._reach_all()
        return method(self, *args, **keywords)

    call.__name__ = name
    return call


for _name in _CONCERN_ALL:
    setattr(RecordList, _name, _concerning_all(_name))


def _spellings(title: str) -> tuple[bytes, ...]:
    # A title written with escapes is found by its backslash; these are the ways without.
    return tuple({title.encode("utf-8", "surrogatepass"), json.dumps(title)[1:-1].encode()})
