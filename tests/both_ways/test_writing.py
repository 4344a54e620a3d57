"""Writing gives the same results in all four ways."""

from __future__ import annotations

from typing import Any

import pytest
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, SampleContent, login_record

from tests.both_ways.ways import Way, results_of


def new_record(way: Way, title: str, *, password: str = "first") -> Any:
    kit = way.client.kit
    record = kit.RecordCreate("login", title)
    record.fields = [kit.RecordField("login", "bob"), kit.RecordField("password", password)]
    record.custom = [kit.RecordField("text", "c", label="label")]
    record.notes = "notes"
    return record


def test_a_record_is_created_updated_and_deleted(
    way: Way, device: Any, filled: SampleContent
) -> None:
    uid = device.create_secret(filled.folder, new_record(way, "made"))
    record = device.get_secrets([uid])[0]
    created = record.dict
    record.set_standard_field_value("password", "second")
    device.save(record)
    again = device.get_secrets([uid])[0]

    answers = results_of(device.delete_secret, [uid, "A" * 22])

    assert created["title"] == "made"
    assert [field["value"] for field in created["fields"]] == [["bob"], ["second"]]
    assert (again.password, again.revision, again.folder_uid) == ("second", 2, filled.folder)
    assert (again.custom_field("label", single=True), again.dict["notes"]) == ("c", "notes")
    assert [answer["responseCode"] for answer in answers] == ["ok", "not_found"]
    assert list(device.get_secrets([uid])) == []


def test_a_record_is_created_in_a_child_folder(
    way: Way, device: Any, filled: SampleContent
) -> None:
    options = way.client.kit.CreateOptions(filled.folder, filled.child)

    uid = device.create_secret_with_options(options, new_record(way, "in the child"))

    assert device.get_secrets([uid])[0].inner_folder_uid == filled.child
    device.delete_secret([uid])


@pytest.mark.parametrize(("rollback", "expected"), [(False, "second"), (True, "first")])
def test_a_transaction_is_held_until_it_ends(
    way: Way, device: Any, filled: SampleContent, rollback: bool, expected: str
) -> None:
    uid = device.create_secret(filled.folder, new_record(way, "rotated"))
    record = device.get_secrets([uid])[0]
    record.set_standard_field_value("password", "second")
    device.save(record, transaction_type="rotation")
    meanwhile = device.get_secrets([uid])[0].password

    device.complete_transaction(uid, rollback=rollback)

    assert (meanwhile, device.get_secrets([uid])[0].password) == ("first", expected)
    device.delete_secret([uid])


def test_an_outdated_record_is_not_saved(way: Way, device: Any, filled: SampleContent) -> None:
    uid = device.create_secret(filled.folder, new_record(way, "outdated"))
    record = device.get_secrets([uid])[0]
    device.save(record)

    with way.client.refused("stale"):
        device.save(record)
    device.delete_secret([uid])


def test_a_file_is_uploaded_downloaded_and_detached(
    way: Way, device: Any, filled: SampleContent
) -> None:
    content = b"file content " * 50_000
    uid = device.create_secret(filled.folder, new_record(way, "with a file"))
    upload = way.client.kit.KeeperFileUpload("a.txt", "A", "text/plain", content)

    file_uid = device.upload_file(device.get_secrets([uid])[0], upload)
    record = device.get_secrets([uid])[0]
    file = record.find_file_by_title("A")
    downloaded = file.get_file_data()
    references = record.get_standard_field_value("fileRef")
    device.save(record, links_to_remove=[file_uid])

    assert (file.name, file.type, file.size) == ("a.txt", "text/plain", len(content))
    assert downloaded == content
    again = device.get_secrets([uid])[0]
    assert references == [file_uid]
    assert (again.files, again.get_standard_field_value("fileRef")) == ([], [])
    device.delete_secret([uid])


def test_folders_are_made_renamed_nested_and_deleted(
    way: Way, device: Any, filled: SampleContent
) -> None:
    options = way.client.kit.CreateOptions
    made = device.create_folder(options(filled.folder, None), "made")
    below = device.create_folder(options(filled.folder, made), "below")
    device.update_folder(below, "renamed")
    folders = {item.folder_uid: item for item in device.get_folders()}

    refused = results_of(device.delete_folder, [made])
    deleted = device.delete_folder([made], force_deletion=True)

    assert (folders[below].name, folders[below].parent_uid) == ("renamed", made)
    assert [answer["responseCode"] for answer in refused] == ["not_empty"]
    assert deleted == [{"folderUid": made, "responseCode": "ok"}]
    assert not {made, below} & {item.folder_uid for item in device.get_folders()}


def test_what_is_shared_for_reading_is_not_changed(
    way: Way, vault: LocalVault, device: Any
) -> None:
    with vault.owner() as owner:
        folder = add_folder(owner, f"Readable {way.path}", app=APP_NAME, read_only=True)
        target = folder.folder_uid
        uid = add_records(owner, [login_record("readable", "x")], app=APP_NAME, folder=target)[0]
    record = device.get_secrets([uid])[0]

    with way.client.refused("read-only"):
        device.save(record)
    with way.client.refused("read-only"):
        device.create_secret(target, new_record(way, "refused"))

    assert record.is_editable is False
    assert results_of(device.delete_secret, [uid])[0]["responseCode"] == "access_denied"
