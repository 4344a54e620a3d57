"""A list of records is a list, and decrypts no content that nobody reads."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from ksm_storage.engine import Record, RecordList
from ksm_storage.engine import record as record_module
from ksm_storage.errors import DecryptionError
from ksm_storage.wire.base64_forms import new_uid, to_base64
from tests.engine.sealed_secrets import login, record, shared_folder

COUNT = 40
Records = RecordList


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the uid of every record whose key is decrypted."""
    return _counted(monkeypatch, "decrypt_record_key", "decrypt_record_keys")


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the uid of every record whose content is decrypted."""
    return _counted(monkeypatch, "decrypt_data", "decrypt_contents")


def _counted(monkeypatch: pytest.MonkeyPatch, alone: str, together: str) -> list[str]:
    """Collect the uids that two functions decrypt: one takes an entry, the other many."""
    uids: list[str] = []
    decrypt, decrypt_together = getattr(record_module, alone), getattr(record_module, together)

    def counting(entry: Any, *rest: Any) -> Any:
        uids.append(entry["recordUid"])
        return decrypt(entry, *rest)

    def counting_together(entries: Any, *rest: Any) -> Any:
        uids.extend(entry["recordUid"] for entry in entries)
        return decrypt_together(entries, *rest)

    monkeypatch.setattr(record_module, alone, counting)
    monkeypatch.setattr(record_module, together, counting_together)
    return uids


def damaged(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry with an altered content under a key that still opens."""
    return {**entry, "data": to_base64(bytes(60))}


@pytest.fixture
def entries(server: Any) -> list[dict[str, Any]]:
    made = [record(login(str(n)), server.app_key) for n in range(COUNT)]
    server.answers["get_secret"] = {"records": made}
    return made


WITHOUT_READING: dict[str, Callable[[Records], Any]] = {
    "length": len,
    "member": lambda records: records.sealed[7] in records,
    "not a member": lambda records: copy.copy(records.sealed[7]) in records,
    "compared": lambda records: records == [],
    "as text": repr,
    "slice": lambda records: records[3:9],
    "slice from the end": lambda records: records[-5:],
    "whole slice": lambda records: records[:],
    "copy method": lambda records: records.copy(),
    "copy module": copy.copy,
    "deep copy": copy.deepcopy,
    "pickle": pickle.dumps,
    "restored": lambda records: pickle.loads(pickle.dumps(records)),
    "sum of lists": lambda records: records + records[:2],
    "added to a list": lambda records: list.__add__([1], []) + records,
    "extended by another": lambda records: records.extend(records[:5]),
    "appended to": lambda records: records.append(records.sealed[0]),
    "multiplied": lambda records: records * 2,
    "index of": lambda records: records.index(records.sealed[30]),
    "counted": lambda records: records.count(records.sealed[30]),
    "turned around": lambda records: records.reverse(),
    "one removed": lambda records: records.remove(records.sealed[3]),
    "one deleted": lambda records: records.__delitem__(0),
    "uids": lambda records: [one.uid for one in records.sealed],
    "iterator made": iter,
}


@pytest.mark.parametrize("call", WITHOUT_READING.values(), ids=WITHOUT_READING)
def test_what_reads_no_record_decrypts_no_content(
    bound: Any, entries: Any, contents: list[str], keys: list[str], call: Any
) -> None:
    call(bound.get_secrets())

    assert contents == []
    assert len(keys) <= COUNT


ONE_READ: dict[str, Callable[[Records], Any]] = {
    "truth": bool,
    "first": lambda records: records[0],
    "middle": lambda records: records[25],
    "last": lambda records: records[-1],
    "popped": lambda records: records.pop(),
    "first of a loop": lambda records: next(iter(records)),
    "last of a loop": lambda records: next(reversed(records)),
    "one of a slice": lambda records: records[5:9][2],
    "one of a copy": lambda records: copy.copy(records)[20],
    "one of a restored list": lambda records: pickle.loads(pickle.dumps(records))[20].title,
}


@pytest.mark.parametrize("call", ONE_READ.values(), ids=ONE_READ)
def test_what_reads_one_record_decrypts_one_content(
    bound: Any, entries: Any, contents: list[str], call: Any
) -> None:
    call(bound.get_secrets())

    assert len(contents) == 1


def test_a_slice_decrypts_the_keys_that_it_needs(bound: Any, entries: Any, keys: list[str]) -> None:
    assert len(bound.get_secrets()[:3]) == 3
    assert len(keys) == 3


def test_no_key_and_no_content_is_decrypted_twice(
    bound: Any, entries: Any, keys: list[str], contents: list[str]
) -> None:
    records = bound.get_secrets()

    assert [len(records), *(one.title for one in records)] == [COUNT, *map(str, range(COUNT))]
    assert [one.title for one in records[:]] == [one.title for one in records]
    assert (len(keys), len(contents)) == (COUNT, COUNT)


def test_a_record_under_an_unknown_key_never_counts(
    server: Any, bound: Any, entries: Any, contents: list[str]
) -> None:
    entries[5] = record(login("of others"), bytes(32))

    records = bound.get_secrets()

    assert (len(records), len(records[:6]), contents) == (COUNT - 1, 6, [])


READERS: dict[str, Callable[[Records], list[str | None]]] = {
    "loop": lambda records: [one.title for one in records],
    "reversed": lambda records: [one.title for one in reversed(records)][::-1],
    "copied": lambda records: [one.title for one in records[:]],
    "restored": lambda records: [one.title for one in pickle.loads(pickle.dumps(records))],
    "sorted": lambda records: [
        one.title for one in sorted(records, key=lambda one: str(one.title))
    ],
    "popped": lambda records: [records.pop().title for _ in range(3)][::-1],
    "from the end": lambda records: [records[n].title for n in (-1, -2, -3)][::-1],
    "from the start": lambda records: [records[0].title, records[1].title, records[2].title],
}


@pytest.mark.parametrize("places", [(0,), (1,), (3,), (0, 1), (2, 3), (0, 2, 4)], ids=str)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_damaged_content_is_left_out_by_whoever_reads(
    server: Any, bound: Any, read: Any, places: tuple[int, ...]
) -> None:
    entries = [record(login(str(n)), server.app_key) for n in range(3)]
    for place in places:
        entries.insert(place, damaged(record(login("damaged"), server.app_key)))
    server.answers["get_secret"] = {"records": entries}
    records = bound.get_secrets()

    assert read(records) == ["0", "1", "2"]
    if read is READERS["loop"]:
        assert len(records) == 3
        assert len(records.bad_records) == len(places)


def test_sorting_in_place_leaves_damaged_contents_out(
    server: Any, bound: Any, entries: Any
) -> None:
    entries[4] = damaged(entries[4])
    records = bound.get_secrets()

    records.sort(key=lambda one: int(one.title), reverse=True)

    assert [one.title for one in records[:2]] == ["39", "38"]
    assert len(records) == COUNT - 1


def test_a_list_of_damaged_contents_alone_is_false(server: Any, bound: Any) -> None:
    server.answers["get_secret"] = {"records": [damaged(record(login("x"), server.app_key))]}

    records = bound.get_secrets()

    assert not records
    assert len(records) == 0
    with pytest.raises(IndexError):
        records[0]


@pytest.mark.parametrize("read_first", [True, False])
def test_another_place_stands_in_for_a_damaged_content(
    server: Any, bound: Any, read_first: bool
) -> None:
    uid, folder_key = new_uid(), bytes(range(32))
    bad = damaged(record(login("x"), server.app_key, recordUid=uid))
    good = record(login("shared"), folder_key, recordUid=uid)
    folder = shared_folder(server.app_key, folder_key, [good], new_uid())
    alone = record(login("alone"), server.app_key)
    server.answers["get_secret"] = {"records": [bad, alone], "folders": [folder]}
    records = bound.get_secrets()

    if not read_first:
        assert len(records) == 2
    assert sorted(str(one.title) for one in records) == ["alone", "shared"]
    assert (len(records), records.bad_records) == (2, [])


def test_a_copy_of_an_unread_record_reads_the_same(
    bound: Any, entries: Any, contents: list[str]
) -> None:
    record = bound.get_secrets().sealed[3]
    record.note = "added"

    copies: list[Record] = [copy.copy(record), copy.deepcopy(record)]
    copies.append(pickle.loads(pickle.dumps(record)))

    assert contents == []
    assert [(one.uid, one.title, one.note) for one in copies] == [(record.uid, "3", "added")] * 3  # type: ignore[attr-defined]
    assert {one.record_key_bytes for one in copies} == {record.record_key_bytes}


def test_a_damaged_record_of_a_copy_says_so_when_it_is_read_itself(
    bound: Any, entries: Any
) -> None:
    entries[0] = damaged(entries[0])
    record = copy.copy(bound.get_secrets().sealed[0])

    with pytest.raises(DecryptionError):
        _ = record.title
