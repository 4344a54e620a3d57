"""What one application or device may touch of another: nothing."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from ksm_storage_local_vault.owner.access import create_application, revoke_client
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.testing import APP_NAME, FILE_CONTENT, LocalVault, SampleContent

from ksm_storage.wire.base64_forms import from_base64, new_uid, to_base64

from .device import Device

OTHER_APP = "other application"
SEALED = to_base64(b"x" * 40)


@pytest.fixture(scope="module")
def stranger(vault: LocalVault, filled: SampleContent) -> Device:
    """Return a bound device of another application of the same owner."""
    with vault.owner() as owner:
        create_application(owner, OTHER_APP)
    return Device.bound(vault, app=OTHER_APP)


@pytest.fixture
def device(vault: LocalVault, filled: SampleContent) -> Device:
    """Return a bound device of the filled application."""
    return Device.bound(vault)


def test_another_application_sees_nothing(stranger: Device, filled: SampleContent) -> None:
    answer = stranger.ask("get_secret", requestedRecords=[filled.alone])

    assert (answer["records"], answer["folders"]) == ([], [])
    assert stranger.ask("get_folders")["folders"] == []


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("update_secret", {"recordUid": "{alone}", "revision": 2, "data": SEALED}),
        ("finalize_secret_update", {"recordUid": "{alone}"}),
        ("rollback_secret_update", {"recordUid": "{alone}"}),
        ("update_folder", {"folderUid": "{folder}", "data": SEALED}),
        (
            "create_secret",
            {"recordUid": "R" * 22, "folderUid": "{folder}", "recordKey": SEALED},
        ),
        ("create_folder", {"folderUid": "F" * 22, "sharedFolderUid": "{folder}"}),
        (
            "add_file",
            {"fileRecordUid": "G" * 22, "ownerRecordUid": "{alone}", "fileSize": 100},
        ),
    ],
)
def test_another_application_changes_nothing(
    stranger: Device, filled: SampleContent, path: str, payload: dict[str, object]
) -> None:
    text = json.dumps(payload).replace("{alone}", filled.alone).replace("{folder}", filled.folder)

    assert stranger.rejected(path, **json.loads(text)).status == 404


def test_another_application_deletes_nothing(
    stranger: Device, device: Device, filled: SampleContent
) -> None:
    records = stranger.ask("delete_secret", recordUids=[filled.alone])["records"]
    stranger.ask("delete_folder", folderUids=[filled.child], forceDeletion=True)

    assert records[0]["responseCode"] == "not_found"
    assert device.ask("get_secret", requestedRecords=[filled.alone])["records"]
    uids = {folder["folderUid"] for folder in device.ask("get_folders")["folders"]}
    assert {filled.folder, filled.child} <= uids


def test_a_device_does_not_delete_a_shared_folder(device: Device, filled: SampleContent) -> None:
    answer = device.ask("delete_folder", folderUids=[filled.folder], forceDeletion=True)

    assert answer["folders"][0]["responseCode"] == "access_denied"


def test_a_uid_is_not_taken_twice(device: Device, filled: SampleContent) -> None:
    folder = device.ask("get_secret")["folders"][0]
    record = device.new_record(filled.folder, device.folder_key(folder), {"title": "x"})
    device.ask("create_secret", **record)

    assert device.rejected("create_secret", **record).status == 409


def test_a_record_does_not_go_below_another_shared_folder(
    device: Device, filled: SampleContent
) -> None:
    folder = device.ask("get_secret")["folders"][0]
    record = device.new_record(filled.folder, device.folder_key(folder), {"title": "x"})

    assert device.rejected("create_secret", **record, subFolderUid=new_uid()).status == 404
    record["folderUid"] = filled.child
    assert device.rejected("create_secret", **record).status == 400


def test_nothing_goes_into_a_folder_of_another_shared_folder(
    vault: LocalVault, device: Device, filled: SampleContent
) -> None:
    with vault.owner() as owner:
        other = add_folder(owner, f"Other {new_uid()}", app=APP_NAME).folder_uid
        below = add_folder(owner, "Below other", app=APP_NAME, parent=other).folder_uid
    key = device.folder_key(device.ask("get_secret")["folders"][0])
    record = device.new_record(filled.folder, key, {"title": "x"})
    folder = device.new_folder(filled.folder, key, "x")

    assert device.rejected("create_secret", **record, subFolderUid=below).status == 400
    assert device.rejected("create_folder", **folder, parentUid=below).status == 400


@pytest.mark.parametrize("uid", ["../../etc", "A" * 100, "A" * 21 + "\n", "--option"])
def test_a_uid_has_the_form_of_one(device: Device, filled: SampleContent, uid: str) -> None:
    key = device.folder_key(device.ask("get_secret")["folders"][0])
    record = device.new_record(filled.folder, key, {"title": "x"})

    assert device.rejected("create_secret", **{**record, "recordUid": uid}).status == 400


def test_true_is_no_revision(device: Device, filled: SampleContent) -> None:
    change = {"recordUid": filled.in_child, "revision": True, "data": SEALED}

    assert device.rejected("update_secret", **change).status == 400


def test_an_open_transaction_keeps_others_out(device: Device, filled: SampleContent) -> None:
    change = {"recordUid": filled.in_child, "revision": 1, "data": SEALED}
    device.ask("update_secret", **change, transactionType="general")

    assert device.rejected("update_secret", **change).status == 409
    device.ask("rollback_secret_update", recordUid=filled.in_child)
    assert device.rejected("rollback_secret_update", recordUid=filled.in_child).status == 404


def test_a_file_address_is_for_one_device_one_file_and_one_place(
    vault: LocalVault, device: Device, filled: SampleContent
) -> None:
    target = _download_target(device, filled.alone)
    altered = target.replace("expires=", "expires=9")
    from_elsewhere = Device(vault, b"", source="127.0.0.2")

    assert len(device.exchange("GET", target).body) == len(FILE_CONTENT) + 28
    assert device.exchange("GET", altered).status == 403
    assert device.exchange("GET", target.replace(filled.file, new_uid())).status == 403
    assert device.exchange("GET", target.partition("?")[0]).status == 403
    assert from_elsewhere.exchange("GET", target).status == 403


def test_a_file_of_a_deleted_record_is_not_given_out(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)
    [owner] = [each for each in device.ask("get_secret")["records"] if each["files"]]
    target = _download_target(device, owner["recordUid"])
    device.ask("delete_secret", recordUids=[owner["recordUid"]])

    assert device.exchange("GET", target).status == 404


def test_a_revoked_device_downloads_nothing(
    vault: LocalVault, device: Device, filled: SampleContent
) -> None:
    target = _download_target(device, filled.alone)
    with vault.owner() as owner:
        revoke_client(owner, device.client_id)

    assert device.exchange("GET", target).message == "Client device is revoked"


def test_an_upload_is_taken_once_and_of_the_announced_size(
    device: Device, filled: SampleContent
) -> None:
    answer = device.ask("add_file", **_file_request(device, filled, size=100))
    ticket = json.loads(answer["parameters"])["ticket"]

    shown_before = _file_uids(device, filled)
    too_short = _upload(device, ticket, b"x" * 99)
    taken = _upload(device, ticket, b"x" * 100)
    again = _upload(device, ticket, b"y" * 100)

    assert (too_short, taken, again) == (400, answer["successStatusCode"], 403)
    assert len(_file_uids(device, filled)) == len(shown_before) + 1


def test_a_guessed_ticket_uploads_nothing(device: Device) -> None:
    assert _upload(device, "guessed", b"x" * 100) == 403


def _download_target(device: Device, record_uid: str) -> str:
    record = device.ask("get_secret", requestedRecords=[record_uid])["records"][0]
    parts = urlsplit(record["files"][0]["url"])
    return f"{parts.path}?{parts.query}"


def _file_request(device: Device, filled: SampleContent, *, size: int) -> dict[str, Any]:
    record = _in_folder(device, filled)
    return {
        "fileRecordUid": new_uid(),
        "fileRecordKey": SEALED,
        "fileRecordData": SEALED,
        "ownerRecordUid": filled.in_folder,
        "ownerRecordData": to_base64(from_base64(record["data"])),
        "ownerRecordRevision": record["revision"],
        "linkKey": SEALED,
        "fileSize": size,
    }


def _file_uids(device: Device, filled: SampleContent) -> list[str]:
    return [file["fileUid"] for file in _in_folder(device, filled)["files"]]


def _in_folder(device: Device, filled: SampleContent) -> Any:
    answer = device.ask("get_secret", requestedRecords=[filled.in_folder])
    return answer["folders"][0]["records"][0]


def _upload(device: Device, ticket: str, content: bytes) -> int:
    mark = "the-boundary"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="ticket"\r\n\r\n{ticket}\r\n'.encode(),
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode(),
        content,
        f"\r\n--{mark}--\r\n".encode(),
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    return device.exchange("POST", "/files", b"".join(parts), headers).status
