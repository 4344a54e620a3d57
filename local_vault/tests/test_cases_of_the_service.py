"""What Keeper's service and the clients of others do, and the vault can do on purpose."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records, add_shortcut
from ksm_storage_local_vault.server_settings import ErrorStyle, ThrottleRule
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, SampleContent, login_record

from ksm_storage.wire.aes import gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import from_base64, new_uid, to_base64

from .device import Device


def opened(record: dict[str, Any], key: bytes) -> str:
    """Return the title of a record whose key is under this one."""
    record_key = gcm_open(key, from_base64(record["recordKey"]))
    return str(json.loads(gcm_open(record_key, from_base64(record["data"])))["title"])


def test_a_flat_record_is_listed_beside_its_folder_and_opens_under_its_key(
    vault: LocalVault, filled: SampleContent
) -> None:
    with vault.owner() as owner:
        (uid,) = add_records(
            owner,
            [{**login_record("made by hand", "p"), "flat": True}],
            app=APP_NAME,
            folder="Shared",
        )
    device = Device.bound(vault)

    answer = device.ask("get_secret", requestedRecords=[uid])

    (record,), (folder,) = answer["records"], answer["folders"]
    assert (record["folderUid"], record["innerFolderUid"]) == (filled.folder, filled.folder)
    assert (folder["folderUid"], folder["records"]) == (filled.folder, [])
    assert opened(record, device.folder_key(folder)) == "made by hand"


@pytest.mark.parametrize("folder", [None, "Child"])
def test_a_flat_record_needs_a_shared_folder(
    vault: LocalVault, filled: SampleContent, folder: str | None
) -> None:
    record = {**login_record("nowhere", "p"), "flat": True}

    with vault.owner() as owner, pytest.raises(Exception, match="must be in a shared folder"):
        add_records(owner, [record], app=APP_NAME, folder=folder)


def test_a_shortcut_lists_one_record_in_each_of_its_places(
    vault: LocalVault, filled: SampleContent
) -> None:
    with vault.owner() as owner:
        add_folder(owner, "Other", app=APP_NAME)
        record = {**login_record("in two folders", "p"), "folder": "Shared", "shortcuts": ["Other"]}
        (uid,) = add_records(owner, [record], app=APP_NAME)
        add_shortcut(owner, uid, app=APP_NAME, folder="Shared", flat=True)
        add_shortcut(owner, uid, app=APP_NAME)
    device = Device.bound(vault)

    answer = device.ask("get_secret", requestedRecords=[uid])

    flat, alone = answer["records"]
    shared, other = answer["folders"]
    assert "folderUid" not in alone
    keys = [device.folder_key(shared), device.folder_key(other)]
    places = [flat, *shared["records"], *other["records"], alone]
    wrapping = [keys[0], keys[0], keys[1], device.app_key]
    assert [opened(*pair) for pair in zip(places, wrapping, strict=True)] == ["in two folders"] * 4
    assert {place["recordUid"] for place in places} == {uid}


def test_a_deleted_folder_takes_only_the_records_that_are_nowhere_else(
    own_vault: LocalVault,
) -> None:
    device = Device.bound(own_vault)
    with own_vault.owner() as owner:
        child = add_folder(owner, "Doomed", app=APP_NAME, parent="Shared")
        stays, goes = add_records(
            owner,
            [
                {**login_record("stays", "p"), "shortcuts": ["Shared"]},
                login_record("goes", "p"),
            ],
            app=APP_NAME,
            folder="Doomed",
        )

    device.ask("delete_folder", folderUids=[child.folder_uid], forceDeletion=True)

    answer = device.ask("get_secret", requestedRecords=[stays, goes])
    found = [record for folder in answer["folders"] for record in folder["records"]]
    assert [record["recordUid"] for record in found] == [stays]


@pytest.mark.parametrize("status", [403, 429])
def test_a_throttled_client_is_told_how_long_to_wait(own_vault: LocalVault, status: int) -> None:
    device = Device.bound(own_vault)
    with own_vault.owner() as owner:
        owner.throttle = ThrottleRule(throttle_next=1, retry_after_seconds=12, status=status)

    reply = device.rejected("get_secret")

    assert (reply.status, reply.refusal["error"]) == (status, "throttled")
    assert reply.refusal["retry_after"] == 12
    assert reply.headers.get("retry-after") == ("12" if status == 429 else None)


@pytest.mark.parametrize(
    ("wording", "message"),
    [
        (0, "Unable to validate application access"),
        (1, "Unable to validate application access"),
        (2, "Unable to validate Keeper application access"),
        (9, "Unable to validate Keeper application access"),
    ],
)
def test_an_error_has_the_wording_that_the_owner_chose(
    own_vault: LocalVault, wording: int, message: str
) -> None:
    stranger = Device.of(own_vault, own_vault.new_client())
    with own_vault.owner() as owner:
        owner.error_style = ErrorStyle(wording=wording)

    assert stranger.rejected("get_secret").message == message


def test_the_wanted_server_key_may_be_named_by_a_number(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)
    with own_vault.owner() as owner:
        owner.renumber_server_key()
        owner.error_style = ErrorStyle(numeric_key_id=True)

    assert device.rejected("get_secret").refusal["key_id"] == 101


def test_a_deletion_is_refused_in_part(own_vault: LocalVault) -> None:
    with own_vault.owner() as owner:
        kept, gone = add_records(
            owner,
            [{**login_record("kept", "p"), "readOnly": True}, login_record("gone", "p")],
            app=APP_NAME,
        )
    device = Device.bound(own_vault)

    answer = device.ask("delete_secret", recordUids=[kept, gone])

    codes = [record["responseCode"] for record in answer["records"]]
    assert codes == ["access_denied", "ok"]


@pytest.mark.parametrize("file_name", ['; filename="all.bin"', ""])
def test_an_upload_form_needs_no_file_name(
    vault: LocalVault, filled: SampleContent, file_name: str
) -> None:
    device = Device.bound(vault)
    answer = device.ask("get_secret", requestedRecords=[filled.alone])
    key = gcm_open(device.app_key, from_base64(answer["records"][0]["recordKey"]))
    content = gcm_seal(key, bytes(range(256)) * 4)
    place = device.ask(
        "add_file",
        fileRecordUid=new_uid(),
        fileRecordKey=to_base64(b"k" * 125),
        fileRecordData=to_base64(gcm_seal(key, b"{}")),
        ownerRecordUid=filled.alone,
        ownerRecordData=answer["records"][0]["data"],
        ownerRecordRevision=answer["records"][0]["revision"],
        linkKey=to_base64(gcm_seal(key, key)),
        fileSize=len(content),
    )
    ticket = json.loads(place["parameters"])["ticket"]

    reply = device.exchange(
        "POST",
        "/files",
        form(ticket, content, file_name),
        {"Content-Type": "multipart/form-data; boundary=x"},
    )

    assert reply.status == place["successStatusCode"]
    files = device.ask("get_secret", requestedRecords=[filled.alone])["records"][0]["files"]
    where = urlsplit(files[-1]["url"])
    assert device.exchange("GET", f"{where.path}?{where.query}").body == content


def form(ticket: str, content: bytes, file_name: str) -> bytes:
    """Return an upload form; some clients name no file in it."""
    parts = (
        (f'name="file"{file_name}\r\nContent-Type: application/octet-stream', content),
        ('name="ticket"', ticket.encode()),
    )
    body = b"".join(
        f"--x\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"
        for head, value in parts
    )
    return body + b"--x--\r\n"


@pytest.mark.parametrize("body", [b"", b"--x\r\n", b"--y--\r\n", b"--x--\r\n", b"\r\n--x--"])
def test_an_upload_that_is_not_a_form_is_rejected(vault: LocalVault, body: bytes) -> None:
    device = Device.of(vault, vault.new_client())

    reply = device.exchange(
        "POST", "/files", body, {"Content-Type": "multipart/form-data; boundary=x"}
    )

    assert (reply.status, reply.refusal["error"]) == (400, "bad_request")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_announcement_ends_the_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "ksm_storage_local_vault", str(tmp_path / "vault")]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            server.stdout.readline()
            server.send_signal(number)

            assert server.wait(10) == 0


def test_idle_connections_do_not_delay_the_end(own_vault: LocalVault) -> None:
    context = ssl.create_default_context(cafile=own_vault.ca_file)
    host, _, port = own_vault.address.rpartition(":")
    idle = []
    for _ in range(4):
        plain = socket.create_connection((host, int(port)))
        idle.append(context.wrap_socket(plain, server_hostname=host))
    before = time.monotonic()

    assert own_vault.stop() == 0

    assert time.monotonic() - before < 1.5
    for connection in idle:
        connection.close()
