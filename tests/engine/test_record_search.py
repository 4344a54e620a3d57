"""The fast search finds what parsing finds, or says that it does not know."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksm_storage.engine.answer import AnswerReader
from ksm_storage.engine.keeper_file import download_directly
from ksm_storage.engine.record_search import find_records
from ksm_storage.wire.base64_forms import new_uid
from tests.engine.sealed_secrets import login, record, shared_folder

APP_KEY, FOLDER_KEY = os.urandom(32), os.urandom(32)
UID = new_uid()
# Strings that look like structure, wherever the server may put a string.
ODD = st.sampled_from(["", "}", "{", '"', "\\", '"records"', f'"{UID}"', '{"recordUid": "', "]}"])


def reader(text: str) -> AnswerReader:
    return AnswerReader(text.encode(), APP_KEY, download=download_directly)


def shuffled(entry: dict[str, Any], seed: int) -> dict[str, Any]:
    names = list(entry)
    random.Random(seed).shuffle(names)
    return {name: entry[name] for name in names}


@settings(max_examples=150, deadline=None)
@given(odd=st.lists(ODD, min_size=4, max_size=4), seed=st.integers(0, 999), place=st.data())
def test_the_search_never_differs_from_parsing(odd: list[str], seed: int, place: Any) -> None:
    link = {"recordUid": UID, "data": None, "path": odd[0]}
    wanted = record(login("wanted"), APP_KEY, uid=UID)
    inside = record(login("inside"), FOLDER_KEY, uid=UID, links=[link])
    others = [record(login("o"), APP_KEY, links=[link, {"path": odd[1]}]) for _ in range(3)]
    folder = {**shared_folder(APP_KEY, FOLDER_KEY, [inside], new_uid()), "name": odd[2]}
    parts = place.draw(st.sampled_from(["both", "alone", "folder"]))
    answer: dict[str, Any] = {
        "warnings": [odd[3]],
        "records": [*others, *([wanted] if parts != "folder" else [])],
        "folders": [shuffled(folder, seed)] if parts != "alone" else [],
    }
    answer["records"] = [shuffled(entry, seed) for entry in answer["records"]]
    text = json.dumps(shuffled(answer, seed), separators=((",", ":") if seed % 2 else (", ", ": ")))

    found = [(r.uid, r.title, r.folder_uid) for r in reader(text).select([UID])]

    parsed = reader(text).read().records
    assert found == [(r.uid, r.title, r.folder_uid) for r in parsed if r.uid == UID]


def test_an_ordinary_answer_needs_no_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = [record(login(f"t{n}"), FOLDER_KEY) for n in range(5)]
    folder = shared_folder(APP_KEY, FOLDER_KEY, inside, "folder uid")
    text = json.dumps({"records": [record(login("x"), APP_KEY)], "folders": [folder]})
    monkeypatch.setattr(AnswerReader, "read", None)

    found = reader(text).select([inside[3]["recordUid"]])

    assert [(r.title, r.folder_uid) for r in found] == [("t3", "folder uid")]


def test_a_uid_that_is_not_there_is_not_known() -> None:
    assert find_records(b'{"records": []}', UID) is None


def test_a_uid_written_with_escapes_is_found_all_the_same() -> None:
    entry = record(login("t"), APP_KEY, uid="abc")
    text = json.dumps({"records": [entry]}).replace('"abc"', '"\\u0061bc"')

    assert [r.title for r in reader(text).select(["abc"])] == ["t"]


@pytest.mark.parametrize("size", [10, 20_000, 200_000])
@pytest.mark.parametrize("letter", ["x", "ü", "🗝"])
def test_a_record_of_any_size_is_found_without_parsing(
    monkeypatch: pytest.MonkeyPatch, size: int, letter: str
) -> None:
    content = login("t", notes=letter * size)
    entry = record(content, APP_KEY, uid=UID, comment=letter * (size + 1))
    text = json.dumps({"records": [entry, entry]}, ensure_ascii=False)
    monkeypatch.setattr(AnswerReader, "read", None)

    assert [r.title for r in reader(text).select([UID])] == ["t"]


def test_a_wrong_guess_about_the_folder_is_noticed() -> None:
    decoy = {"folderUid": "f", "folderKey": "AAAA", "records": []}
    before = record(login("before"), APP_KEY, extra=decoy)
    wanted = record(login("wanted"), APP_KEY, uid=UID)

    found = reader(json.dumps({"records": [before, wanted]})).select([UID])

    assert [(r.title, r.folder_uid) for r in found] == [("wanted", "")]
