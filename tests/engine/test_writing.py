"""What is created and changed opens on the other side with the keys of the protocol."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from ksm_storage.engine import (
    CreateOptions,
    RecordCreate,
    RecordField,
    StaleRevisionError,
    UpdateOptions,
)
from ksm_storage.errors import SettingsError
from ksm_storage.wire import api_errors
from ksm_storage.wire.aes import cbc_open, gcm_open
from ksm_storage.wire.base64_forms import from_base64
from ksm_storage.wire.keys import ecies_open
from tests.engine.sealed_secrets import child_folder, login, record, root_folder

ROOT_KEY = os.urandom(32)


@pytest.fixture(autouse=True)
def folders(server: Any) -> None:
    server.answers["get_folders"] = {
        "folders": [
            root_folder(server.app_key, ROOT_KEY, uid="root", name="Root"),
            child_folder(ROOT_KEY, os.urandom(32), uid="child", parent="root", name="Child"),
        ]
    }


@pytest.fixture
def found(server: Any, bound: Any) -> Any:
    references = [{"type": "fileRef", "value": ["f1", "f2"]}]
    content = login("t")
    content["fields"] += references
    server.answers["get_secret"] = {"records": [record(content, server.app_key)]}
    return bound.get_secrets()[0]


def new_record() -> RecordCreate:
    content = RecordCreate("login", "New")
    content.fields = [RecordField("login", "alice"), RecordField("password", ["p"], label="l")]
    content.custom = [RecordField("text", "v", label="env", required=True)]
    content.notes = "note"
    return content


def test_a_new_record_opens_for_its_owner_and_its_folder(server: Any, bound: Any) -> None:
    uid = bound.create_secret("root", new_record())

    path, sent = server.asked[-1]
    key = gcm_open(ROOT_KEY, from_base64(sent["folderKey"]))
    content = json.loads(gcm_open(key, from_base64(sent["data"])))
    assert path == "create_secret"
    assert sent["recordUid"] == uid
    assert ecies_open(server.owner, from_base64(sent["recordKey"])) == key
    assert content == {
        "type": "login",
        "title": "New",
        "notes": "note",
        "fields": [
            {"type": "login", "value": ["alice"]},
            {"type": "password", "value": ["p"], "label": "l"},
        ],
        "custom": [{"type": "text", "value": ["v"], "label": "env", "required": True}],
    }


def test_a_record_in_a_subfolder_is_under_the_shared_folder_s_key(server: Any, bound: Any) -> None:
    options = CreateOptions("root", "child")

    bound.create_secret_with_options(options, new_record(), bound.get_folders())

    sent = server.asked[-1][1]
    assert (sent["folderUid"], sent["subFolderUid"]) == ("root", "child")
    assert len(gcm_open(ROOT_KEY, from_base64(sent["folderKey"]))) == 32


def test_an_official_new_record_is_taken_too(server: Any, bound: Any) -> None:
    from keeper_secrets_manager_core.dto.dtos import RecordCreate as OfficialCreate

    content = OfficialCreate("login", "Theirs")
    content.fields = []

    assert bound.create_secret("root", content)


def test_a_folder_that_is_not_shared_is_an_error(bound: Any) -> None:
    with pytest.raises(ValueError, match="nowhere not found"):
        bound.create_secret("nowhere", new_record())


@pytest.mark.parametrize("wrong", ["title", "notes", "field"])
def test_a_new_record_of_wrong_types_is_refused_here(server: Any, bound: Any, wrong: str) -> None:
    content: Any = new_record()
    if wrong == "field":
        content.fields[0].value = "no list"
    else:
        setattr(content, wrong, 5)
    asked = len(server.asked)

    with pytest.raises(SettingsError):
        bound.create_secret_with_options(CreateOptions("root"), content, [])

    assert len(server.asked) == asked + 1


def test_a_saved_record_carries_the_revision_that_was_read(
    server: Any, bound: Any, found: Any
) -> None:
    found.field("password", value="new")
    found.title = "other"

    bound.save(found, transaction_type="rotation")

    path, sent = server.asked[-1]
    content = json.loads(gcm_open(found.record_key_bytes, from_base64(sent["data"])))
    assert path == "update_secret"
    assert (sent["recordUid"], sent["revision"]) == (found.uid, 7)
    assert sent["transactionType"] == "rotation"
    assert content["title"] == "other"
    assert content["fields"][1]["value"] == ["new"]


@pytest.mark.parametrize(("rollback", "path"), [(False, "finalize"), (True, "rollback")])
def test_a_transaction_is_completed(server: Any, bound: Any, rollback: bool, path: str) -> None:
    assert bound.complete_transaction("uid", rollback=rollback) is True

    assert server.asked[-1][0] == f"{path}_secret_update"
    assert server.asked[-1][1]["recordUid"] == "uid"


def test_detached_files_leave_the_references_once_the_server_has_agreed(
    server: Any, bound: Any, found: Any
) -> None:
    server.refuse(api_errors.REVISION_STALE)
    with pytest.raises(StaleRevisionError):
        bound.save_with_options(found, UpdateOptions(links_to_remove=["f1"]))
    assert found.field("fileRef") == ["f1", "f2"]

    bound.save(found, links_to_remove="f1")

    sent = server.asked[-1][1]
    content = json.loads(gcm_open(found.record_key_bytes, from_base64(sent["data"])))
    assert sent["links2Remove"] == ["f1"]
    assert content["fields"][-1]["value"] == ["f2"]
    assert found.field("fileRef") == ["f2"]


@pytest.mark.parametrize("uids", ["a", ["a", "b"]])
def test_deleting_records_returns_what_became_of_each(server: Any, bound: Any, uids: Any) -> None:
    server.answers["delete_secret"] = {"records": [{"recordUid": "a", "responseCode": "ok"}]}

    assert bound.delete_secret(uids) == [{"recordUid": "a", "responseCode": "ok"}]

    assert server.asked[-1][1]["recordUids"] == (["a"] if uids == "a" else uids)


def test_a_new_folder_is_under_its_shared_folder_s_key(server: Any, bound: Any) -> None:
    uid = bound.create_folder(CreateOptions("root", "child"), "Näme")

    sent = server.asked[-1][1]
    key = cbc_open(ROOT_KEY, from_base64(sent["sharedFolderKey"]))
    assert sent["folderUid"] == uid
    assert (sent["sharedFolderUid"], sent["parentUid"]) == ("root", "child")
    assert json.loads(cbc_open(key, from_base64(sent["data"]))) == {"name": "Näme"}


def test_a_renamed_folder_keeps_its_key(server: Any, bound: Any) -> None:
    folders = bound.get_folders()

    bound.update_folder("child", "Other", folders)

    sent = server.asked[-1][1]
    assert json.loads(cbc_open(folders[1].folder_key, from_base64(sent["data"])))["name"] == "Other"


def test_deleting_folders_says_whether_it_is_forced(server: Any, bound: Any) -> None:
    server.answers["delete_folder"] = {"folders": [{"folderUid": "a", "responseCode": "ok"}]}

    assert bound.delete_folder("a", force_deletion=True)[0]["responseCode"] == "ok"

    assert server.asked[-1][1]["folderUids"] == ["a"]
    assert server.asked[-1][1]["forceDeletion"] is True
