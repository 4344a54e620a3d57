"""Many records are parsed at once, and no text can reach beyond its own place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksm_storage.engine import Record, RecordList
from ksm_storage.engine.keeper_file import download_directly
from ksm_storage.engine.record import RecordSource
from ksm_storage.engine.record_content import parse_contents
from ksm_storage.wire.aes import GcmKey, gcm_seal
from ksm_storage.wire.base64_forms import new_uid, to_base64
from tests.engine.sealed_secrets import login, record

COUNT = 40
VICTIM = 20

# What someone who may edit two records would write around a third.
PAIRS = [
    ('{"title": "a"}, {"title": "b"}', "{}"),
    ('{"title": "a", "notes": "', '"}, {"title": "forged"}, {"title": "b"}'),
    ('{"title": "a"}, {"title": "forged"}, {"x": "', '"}'),
    ('[{"title": "a"}', '{"title": "b"}]'),
    ('{"title": "a"}]', '[{"title": "b"}'),
    ('{"title": "a"', '"b": 1}'),
    ('{"a": [', "]}"),
    ("1", "2"),
    ("", ""),
    ('"', '"'),
]


def raw_record(text: str | bytes, app_key: bytes) -> dict[str, Any]:
    key = os.urandom(32)
    return {
        "recordUid": new_uid(),
        "recordKey": to_base64(gcm_seal(app_key, key)),
        "data": to_base64(gcm_seal(key, text if isinstance(text, bytes) else text.encode())),
    }


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("distance", [1, 3])
def test_what_stands_around_a_record_does_not_change_it(
    server: Any, bound: Any, pair: tuple[str, str], distance: int
) -> None:
    entries = [record(login(str(n)), server.app_key) for n in range(COUNT)]
    entries[VICTIM - distance] = raw_record(pair[0], server.app_key)
    entries[VICTIM + distance] = raw_record(pair[1], server.app_key)
    server.answers["get_secret"] = {"records": entries}

    records = list(bound.get_secrets())

    by_uid = {found.uid: found.title for found in records}
    honest = [n for n in range(COUNT) if abs(n - VICTIM) != distance]
    assert [by_uid.get(entries[n]["recordUid"]) for n in honest] == [str(n) for n in honest]
    assert "forged" not in by_uid.values()


def test_many_records_are_parsed_at_once(
    server: Any, bound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [record(login(str(n)), server.app_key) for n in range(COUNT)]
    server.answers["get_secret"] = {"records": entries}
    monkeypatch.setattr("ksm_storage.engine.record.parse_content", None)

    records = bound.get_secrets()

    assert records.bad_records == []
    assert [found.title for found in records] == [str(n) for n in range(COUNT)]


def _url_safe(text: str) -> str:
    return text.rstrip("=").replace("+", "-").replace("/", "_")


ODD = {
    "url-safe key": lambda entry: {**entry, "recordKey": _url_safe(entry["recordKey"])},
    "url-safe content": lambda entry: {**entry, "data": _url_safe(entry["data"])},
    "space in the key": lambda entry: {**entry, "recordKey": f" {entry['recordKey'][:-1]} "},
    "space in the content": lambda entry: {**entry, "data": f"{entry['data']}    "},
    "number for the key": lambda entry: {**entry, "recordKey": 5},
    "list for the content": lambda entry: {**entry, "data": [entry["data"]] * 60},
    "no content": lambda entry: {**entry, "data": None},
    "short content": lambda entry: {**entry, "data": "AAAA"},
    "short key": lambda entry: {**entry, "recordKey": to_base64(bytes(8))},
    "altered content": lambda entry: {**entry, "data": to_base64(bytes(60))},
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_an_odd_record_among_many_is_read_as_it_is_alone(
    server: Any, bound: Any, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    entries = [record(login(str(n)), server.app_key) for n in range(COUNT)]
    entries[VICTIM] = change(entries[VICTIM])
    server.answers["get_secret"] = {"records": [entries[VICTIM]]}
    alone = [found.title for found in bound.get_secrets()]
    server.answers["get_secret"] = {"records": entries}

    records = bound.get_secrets()

    others = [str(n) for n in range(COUNT) if n != VICTIM]
    assert sorted(str(found.title) for found in records) == sorted(alone + others)
    assert bool(bound.get_secret_by_title(str(VICTIM))) == bool(alone)
    assert len(records.bad_records) == 1 - len(alone)


def test_a_record_key_of_another_length_spoils_no_other_record(server: Any, bound: Any) -> None:
    entries = [record(login(str(n)), server.app_key) for n in range(COUNT)]
    entries[VICTIM]["recordKey"] = to_base64(gcm_seal(server.app_key, bytes(16)))
    server.answers["get_secret"] = {"records": entries}

    assert len(list(bound.get_secrets())) == COUNT - 1


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(
        st.sampled_from(["{}", '{"a": 1}', '"', ",", "[", "]", "{", "}", '{"b": "', '"}', "1", ""]),
        max_size=8,
    )
)
def test_parsed_together_is_parsed_apart_or_not_at_all(texts: list[str]) -> None:
    together = parse_contents([text.encode() for text in texts])

    if together is not None:
        assert together == [json.loads(text) for text in texts]


@st.composite
def spellings(draw: st.DrawFn, text: str) -> str:
    """Return a JSON string that means the text, each character written in one of its ways."""
    written = []
    for character in text:
        ways = [json.dumps(character)[1:-1]]
        # Each unit of UTF-16 as an escape, in either case of the digits.
        units = character.encode("utf-16-be", "surrogatepass").hex()
        ways += ["".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))]
        ways += [ways[-1].upper().replace("\\U", "\\u")]
        if character >= " " and character not in '"\\':
            ways.append(character)
        if character == "/":
            ways.append("\\/")
        written.append(draw(st.sampled_from(ways)))
    return f'"{"".join(written)}"'


# Few, so that many records have the title that is searched for.
TITLES = st.sampled_from(
    ["", "a", "5", "True", "a/", 'b"\\', "\n\0", "\u00e9\u20ac", "\U0001f5dd", "\ud83d", "\udddd"]
)
OTHER_VALUES = st.sampled_from(
    ["null", "5", "1e2", "true", "[5]", '{"title": "a"}', "12345678901234567890"]
)


@st.composite
def contents(draw: st.DrawFn) -> str:
    """Return the JSON of a record, maybe with several titles, in odd order and space."""
    space = st.sampled_from(["", " ", "\n\t", "\r "])
    members = []
    for name in draw(
        st.lists(st.sampled_from(["title", "title", "notes", "type"]), min_size=1, max_size=4)
    ):
        value = draw(st.one_of(TITLES.flatmap(spellings), OTHER_VALUES))
        key = draw(spellings(name))
        members.append(f"{draw(space)}{key}{draw(space)}:{draw(space)}{value}{draw(space)}")
    return f"{draw(space)}{{{','.join(members)}{draw(space)}}}{draw(space)}"


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(contents(), max_size=6), title=TITLES)
def test_a_title_is_found_in_exactly_the_records_that_have_it(texts: list[str], title: str) -> None:
    app_key = bytes(32)
    parent = GcmKey(app_key)
    source = RecordSource(
        (lambda: parent,), app_key=app_key, folder_uid="", download=download_directly
    )
    # What is no UTF-8 cannot be read by anybody.
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    entries = [raw_record(text, app_key) for text in raw]

    found = RecordList([Record(entry, source) for entry in entries]).titled(title)

    assert [record.uid for record in found] == [
        entry["recordUid"]
        for entry, text in zip(entries, raw, strict=True)
        if _is_utf8(text) and json.loads(text).get("title") == title
    ]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
