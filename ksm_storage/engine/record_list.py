"""The records of an answer: a list whose records are decrypted when they are read."""

from __future__ import annotations

import json
import logging
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, SupportsIndex, overload

from ..errors import DecryptionError
from ..process import gc_pause
from .record import Record, decrypt_together, unlock_together
from .record_content import parse_contents

_MAX_AT_ONCE = 1024
# Below that, one by one is as fast.
_MIN_AT_ONCE = 16
_MAX_SEARCHED_AT_ONCE = 64
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")

# What a list does that concerns all of its members: it is known first which records they are.
_CONCERN_ALL = (
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
    "__ne__",
    "__repr__",
    "__setitem__",
    "append",
    "clear",
    "count",
    "extend",
    "index",
    "insert",
    "remove",
    "reverse",
)
# And what returns another list.
_MAKE_A_LIST = ("__add__", "__mul__", "__rmul__", "copy")

_size, _item = list.__len__, list.__getitem__


class RecordList(list[Record]):
    """List the records that the application can decrypt, each uid once.

    A record is a member if its *key* can be decrypted: no more is decrypted for the length, for
    ``in``, for slices and for copies. Its *content* is decrypted when a loop or an index hands it
    out; a loop decrypts ahead, at most as many records as it has handed out. A record whose
    content turns out to be damaged is left out then, and stops counting.

    ``bad_records`` names what is left out, and decrypts everything to know.
    """

    def __init__(self, records: Sequence[Record] = ()) -> None:
        super().__init__()
        self._all = records
        # How many of them are members, or are known not to be.
        self._next = 0
        self._seen: set[str] = set()
        # The other places of a record that is listed in several.
        self._elsewhere: dict[str, list[Record]] = {}
        self._bad: dict[int, dict[str, Any]] = {}
        self._lock = threading.RLock()

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return (_made_of, (self._members(),))

    def __iter__(self) -> Iterator[Record]:
        position = 0
        while True:
            # What a call of _is_open says, inlined for thousands of records.
            if position < _size(self):
                member = _item(self, position)
                if not isinstance(member, Record) or member.is_open:
                    yield member
                    position += 1
                    continue
            if not self._reach(position, ahead=position):
                return

    def __reversed__(self) -> Iterator[Record]:
        for position in range(len(self) - 1, -1, -1):
            if self._open(position, 1):
                yield _item(self, position)

    def __bool__(self) -> bool:
        return self._reach(0)

    def __radd__(self, other: list[Any]) -> list[Any]:
        # Without it, list + RecordList would take only the members that are known so far.
        return _made_of([*other, *self._members()])

    @overload
    def __getitem__(self, index: SupportsIndex) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return self._part(index)
        position = operator.index(index)
        if position >= 0:
            self._reach(position)
            return _item(self, position)
        # From the end: the place changes whenever a record is left out.
        while len(self) + position >= 0 and not self._open(len(self) + position, 1):
            pass
        return _item(self, position)

    def pop(self, index: SupportsIndex = -1) -> Record:
        """Remove and return the record at an index; raise IndexError."""
        with self._lock:
            self[index]
            return list.pop(self, index)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Sort in place, by what the key function reads of each record."""
        self._open_all()
        list.sort(self, key=key, reverse=reverse)

    @property
    def sealed(self) -> Sequence[Record]:
        """Return all records as they came, decrypted or not, bad ones included."""
        return self._all

    @property
    def bad_records(self) -> list[dict[str, Any]]:
        """Return what cannot be decrypted: ``{"r": {"recordUid": ...}, "err": ...}`` for each."""
        self._open_all()
        # A record that was listed twice may have opened in its other place.
        return [
            self._bad[id(record)]
            for record in self._all
            if id(record) in self._bad and record.uid not in self._seen
        ]

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
        for record, plaintext in self._decrypted():
            if plaintext is not None and not _may_hold(plaintext, needles):
                continue
            if record.uid not in seen and _title_of(record) == title:
                seen.add(record.uid)
                yield record

    def _decrypted(self) -> Iterator[tuple[Record, bytes | None]]:
        """Yield each record with its JSON, None if it is open or cannot be decrypted."""
        done = 0
        while done < len(self._all):
            # As a loop does, at most as many ahead as are done.
            portion = self._all[done : done + max(1, min(done, _MAX_SEARCHED_AT_ONCE))]
            yield from zip(portion, decrypt_together(portion), strict=True)
            done += len(portion)

    def _part(self, part: slice) -> RecordList:
        forward = (part.step or 1) > 0 and (part.start or 0) >= 0
        bounded = forward and part.stop is not None and part.stop >= 0
        self._admit(part.stop if bounded else len(self._all))
        return _made_of(_item(self, part))

    def _members(self) -> list[Record]:
        self._admit(len(self._all))
        return _item(self, slice(None))

    def _open_all(self) -> None:
        position = 0
        while self._reach(position, ahead=_MAX_AT_ONCE):
            position += 1

    def _reach(self, position: int, *, ahead: int = 1) -> bool:
        """Decrypt until there is a readable record at this position; False behind the last one."""
        with self._lock:
            # Whoever reads on will read on: the work is done in portions.
            count = max(1, min(_MAX_AT_ONCE, ahead))
            self._admit(position + count)
            while position < _size(self):
                if _is_open(_item(self, position)):
                    return True
                self._open(position, count)
                self._admit(position + count)
            return False

    def _admit(self, count: int) -> None:
        """Decrypt the keys of records until this many are members, or none is left."""
        if self._next < len(self._all) and _size(self) < count:
            with self._lock, _pause_for(count):
                missing = count - _size(self)
                if missing >= _MIN_AT_ONCE:
                    unlock_together(self._all[self._next : self._next + missing])
                while self._next < len(self._all) and _size(self) < count:
                    self._admit_one(self._all[self._next])
                    # One by one: what an interrupt leaves undone is not lost to the next reader.
                    self._next += 1

    def _admit_one(self, record: Record) -> None:
        # A shortcut lists one record in several places; an empty uid names nothing.
        if record.uid in self._seen:
            self._elsewhere.setdefault(record.uid, []).append(record)
            return
        try:
            record.unlock()
        except DecryptionError as exc:
            self._leave_out(record, exc)
            return
        if record.uid:
            self._seen.add(record.uid)
        list.append(self, record)

    def _open(self, position: int, count: int) -> bool:
        """Decrypt some contents from this position on; False if a record is left out for it."""
        with self._lock, _pause_for(count):
            portion = _item(self, slice(position, position + count))
            waiting = [record for record in portion if not _is_open(record)]
            if len(waiting) >= _MIN_AT_ONCE:
                _open_at_once(waiting)
            # All of them, whatever comes of the first.
            opened = [self._opened(record) for record in waiting if not record.is_open]
            return all(opened)

    def _opened(self, record: Record) -> bool:
        try:
            record.open()
        except DecryptionError as exc:
            self._leave_out(record, exc)
            return self._replaced(record)
        return True

    def _replaced(self, record: Record) -> bool:
        """Put another place of a record in this one's, or nothing; tell whether there is one."""
        position = next(n for n, member in enumerate(_item(self, slice(None))) if member is record)
        for other in self._elsewhere.pop(record.uid, ()):
            if other.opens():
                list.__setitem__(self, position, other)
                return True
        self._seen.discard(record.uid)
        list.__delitem__(self, position)
        return False

    def _leave_out(self, record: Record, exc: DecryptionError) -> None:
        _log.error("cannot decrypt the record %.64r; it is left out", record.uid)
        self._bad[id(record)] = {"r": {"recordUid": record.uid}, "err": exc.message}


def _pause_for(count: int) -> AbstractContextManager[None]:
    # Few records do not wake the collector, and to keep it asleep costs as much as one of them.
    return gc_pause() if count >= _MIN_AT_ONCE else nullcontext()


def _is_open(member: object) -> bool:
    # A program may have added what is no record.
    return not isinstance(member, Record) or member.is_open


def _made_of(members: Sequence[Record]) -> RecordList:
    made = RecordList()
    list.extend(made, members)
    return made


def _open_at_once(records: Sequence[Record]) -> None:
    """Open those of the records that open; the others say why when they are opened alone."""
    plaintexts = decrypt_together(records)
    contents = parse_contents([text for text in plaintexts if text is not None])
    if contents is None:
        return
    decrypted = (each for each, text in zip(records, plaintexts, strict=True) if text is not None)
    for record, content in zip(decrypted, contents, strict=True):
        try:
            record.take(content)
        except DecryptionError:
            continue


def _concerning_all(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def call(self: RecordList, *args: Any, **keywords: Any) -> Any:
        self._members()
        # The other list as well, of which a built-in method would decrypt all contents.
        known = [given._members() if isinstance(given, RecordList) else given for given in args]
        return method(self, *known, **keywords)

    call.__name__ = name
    return call


def _making_a_list(name: str) -> Callable[..., RecordList]:
    method = _concerning_all(name)

    def call(self: RecordList, *args: Any) -> Any:
        made = method(self, *args)
        return made if made is NotImplemented else _made_of(made)

    call.__name__ = name
    return call


for _name in _CONCERN_ALL:
    setattr(RecordList, _name, _concerning_all(_name))
for _name in _MAKE_A_LIST:
    setattr(RecordList, _name, _making_a_list(_name))


def _title_of(record: Record) -> object:
    try:
        # Not record.title, which makes text of a number: what is searched for is a JSON string.
        return record.dict.get("title")
    except DecryptionError:
        # Only bad_records names it; here it has no title.
        return None


def _may_hold(plaintext: bytes, needles: tuple[bytes, ...]) -> bool:
    # A loop: a generator takes longer than the search, for each of thousands of records.
    for needle in needles:
        if needle in plaintext:
            return True
    return b"\\" in plaintext


def _spellings(title: str) -> tuple[bytes, ...]:
    # A title written with escapes is found by its backslash; these are the ways without.
    return tuple({title.encode("utf-8", "surrogatepass"), json.dumps(title)[1:-1].encode()})
