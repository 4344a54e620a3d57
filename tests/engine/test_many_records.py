"""Many records are parsed at once, and no text can reach beyond its own place."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksm_storage.engine.record_content import parse_contents
from ksm_storage.wire.aes import gcm_seal
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


def raw_record(text: str, app_key: bytes) -> dict[str, Any]:
    key = os.urandom(32)
    return {
        "recordUid": new_uid(),
        "recordKey": to_base64(gcm_seal(app_key, key)),
        "data": to_base64(gcm_seal(key, text.encode())),
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
