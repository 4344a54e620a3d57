"""Records of a shared folder are found however they came into it, and each is one record."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from ksm_storage.engine import DeletionRefusedError, InMemoryKeyValueStorage, RecordCreate
from ksm_storage.engine import answer as answer_module
from ksm_storage.errors import DecryptionError
from ksm_storage.wire.aes import gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import from_base64, new_uid, to_base64
from tests.engine.sealed_secrets import login, record, root_folder, shared_folder

FOLDER_KEY, FOLDER_UID = os.urandom(32), new_uid()
INNER_KEY, INNER_UID = os.urandom(32), new_uid()
UID = new_uid()

PLACES = [
    {"folderUid": FOLDER_UID, "innerFolderUid": FOLDER_UID},
    {"innerFolderUid": FOLDER_UID},
    {"folderUid": FOLDER_UID, "innerFolderUid": None},
    {"folderUid": FOLDER_UID, "innerFolderUid": new_uid()},
]


def folders(app_key: bytes, *inside: Any) -> list[Any]:
    return [
        shared_folder(app_key, INNER_KEY, [record(login("other"), INNER_KEY)], INNER_UID),
        shared_folder(app_key, FOLDER_KEY, list(inside), FOLDER_UID),
    ]


@pytest.mark.parametrize("place", PLACES)
def test_a_flat_record_opens_under_the_key_of_its_folder(
    server: Any, bound: Any, place: dict[str, Any]
) -> None:
    flat = record(login("flat"), FOLDER_KEY, uid=UID, **place)
    server.answers["get_secret"] = {"records": [flat], "folders": folders(server.app_key)}

    response = bound.get_secrets(full_response=True)

    assert {r.title for r in response.records} == {"flat", "other"}
    assert response.bad_records == []
    assert [r.title for r in bound.get_secrets(UID)] == ["flat"]
    assert bound.get_secret_by_title("flat").uid == UID
    assert bound.get_notation(f"{UID}/title") == "flat"
    assert bound.get_notation("flat/field/password") == "correct horse"
    assert bound.get_secrets(UID)[0].folder_uid == (place.get("folderUid") or "")


def test_a_flat_record_of_a_folder_that_is_not_there_is_under_the_application_key(
    server: Any, bound: Any
) -> None:
    flat = record(login("flat"), server.app_key, innerFolderUid=new_uid())
    server.answers["get_secret"] = {"records": [flat], "folders": folders(server.app_key)}

    assert "flat" in [r.title for r in bound.get_secrets()]


def test_a_flat_record_under_the_application_key_opens_although_its_folder_is_there(
    server: Any, bound: Any
) -> None:
    flat = record(login("flat"), server.app_key, uid=UID, innerFolderUid=FOLDER_UID)
    server.answers["get_secret"] = {"records": [flat], "folders": folders(server.app_key)}

    assert [r.title for r in bound.get_secrets([UID])] == ["flat"]


def test_a_flat_record_is_found_by_uid_without_parsing(
    server: Any, bound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = record(login("flat"), FOLDER_KEY, uid=UID, innerFolderUid=FOLDER_UID)
    server.answers["get_secret"] = {"records": [flat], "folders": folders(server.app_key)}
    # A server that does not filter, as one behind a cache.
    monkeypatch.setattr(type(server), "_answer", lambda self, *_: self.answers["get_secret"])
    monkeypatch.setattr(answer_module.AnswerReader, "read", None)

    assert [r.title for r in bound.get_secrets([UID])] == ["flat"]


def shortcut(app_key: bytes) -> dict[str, Any]:
    """List one record flat, in a folder and in another folder, each time under its own key."""
    key = os.urandom(32)
    data = to_base64(gcm_seal(key, json.dumps(login("twice")).encode()))
    entries = [
        {"recordUid": UID, "recordKey": to_base64(gcm_seal(parent, key)), "data": data}
        for parent in (app_key, FOLDER_KEY, INNER_KEY)
    ]
    found = folders(app_key, entries[1])
    found[0]["records"].append(entries[2])
    return {"records": [entries[0]], "folders": found}


def test_a_record_in_several_places_is_one(server: Any, bound: Any) -> None:
    server.answers["get_secret"] = shortcut(server.app_key)

    response = bound.get_secrets(full_response=True)

    assert [r.uid for r in response.records].count(UID) == 1
    assert len(bound.get_secrets()) == 2
    assert len(bound.get_secrets([UID])) == 1
    assert len(bound.get_secrets_by_title("twice")) == 1
    assert bound.get_notation("twice/field/password") == "correct horse"
    assert bound.get_notation_results("twice/field/password") == ["correct horse"]
    assert [[r.title for r in folder.records] for folder in response.folders] == [
        ["other", "twice"],
        ["twice"],
    ]


def test_a_place_that_cannot_be_decrypted_does_not_hide_the_others(server: Any, bound: Any) -> None:
    answer = shortcut(server.app_key)
    answer["records"][0]["recordKey"] = record({}, os.urandom(32))["recordKey"]
    server.answers["get_secret"] = answer

    response = bound.get_secrets(full_response=True)

    assert [r.title for r in response.records if r.uid == UID] == ["twice"]
    assert response.bad_records == []


def test_records_without_a_uid_are_not_taken_for_one(server: Any, bound: Any) -> None:
    entries = [record(login(str(n)), server.app_key, recordUid="") for n in range(2)]
    server.answers["get_secret"] = {"records": entries}

    assert [r.title for r in bound.get_secrets()] == ["0", "1"]


def test_unknown_parts_of_an_answer_are_ignored(server: Any, bound: Any) -> None:
    found = folders(server.app_key)
    found[0] |= {"revision": 3, "parentUid": found[1]["folderUid"]}
    found[1] |= {"revision": 4, "parentUid": found[0]["folderUid"]}
    server.answers["get_secret"] = {"records": [], "folders": found, "extra": {"logo": "x"}}

    assert [r.title for r in bound.get_secrets()] == ["other"]


@pytest.mark.parametrize("kind", ["record", "folder"])
def test_a_deletion_that_is_refused_in_part_is_an_error(server: Any, bound: Any, kind: str) -> None:
    results = [
        {f"{kind}Uid": "a", "responseCode": "ok"},
        {f"{kind}Uid": "b", "responseCode": "access_denied"},
    ]
    path = "delete_secret" if kind == "record" else "delete_folder"
    server.answers[path] = {f"{kind}s": results}

    with pytest.raises(DeletionRefusedError, match=f"1 of 2 {kind}s: 'b'") as caught:
        getattr(bound, path)(["a", "b"])

    assert caught.value.results == results


def test_a_new_record_always_has_custom_fields(server: Any, bound: Any) -> None:
    server.answers["get_folders"] = {
        "folders": [root_folder(server.app_key, FOLDER_KEY, uid="root", name="Root")]
    }

    bound.create_secret("root", RecordCreate("login", "New"))

    sent = server.asked[-1][1]
    key = gcm_open(FOLDER_KEY, from_base64(sent["folderKey"]))
    assert json.loads(gcm_open(key, from_base64(sent["data"])))["custom"] == []


@pytest.mark.parametrize("key_id", [42, "42"])
def test_a_numeric_id_of_the_server_key_is_taken(server: Any, connect: Any, key_id: Any) -> None:
    config = InMemoryKeyValueStorage()
    connect(config).bind()
    values = {**config.read_storage(), "serverPublicKeyId": key_id}

    again = connect(InMemoryKeyValueStorage(json.dumps(values)), token=None)

    assert again.get_secrets() == []
    assert server.requests[-1].public_key_id == "42"


def test_none_removes_a_value() -> None:
    config = InMemoryKeyValueStorage({"hostname": "h", "url": "u"})

    config.set("url", None)

    assert config.read_storage() == {"hostname": "h"}


def test_a_record_that_cannot_be_decrypted_is_no_member_of_the_list(
    server: Any, bound: Any
) -> None:
    server.answers["get_secret"] = {"records": [record(login("x"), os.urandom(32))]}

    records = bound.get_secrets()

    assert records == []
    with pytest.raises(DecryptionError):
        records.sealed[0].open()
