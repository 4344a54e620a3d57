"""The server's files and output hold no secret and no key that opens one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_local_vault.data_folder import DataFolder
from ksm_storage_local_vault.owner.access import add_client, create_application
from ksm_storage_local_vault.owner.folders import add_folder, find_folder
from ksm_storage_local_vault.owner.records import add_file, add_records, open_record
from ksm_storage_local_vault.testing import LocalVault, running_vault

from ksm_storage.wire.aes import gcm_open
from ksm_storage.wire.base64_forms import from_base64, to_base64
from ksm_storage.wire.keys import private_key_to_text

from .device import Device

APP = "canary-application-name"
TEXTS = {
    "application name": APP,
    "device name": "canary-device-name",
    "folder name": "canary-folder-name",
    "child folder name": "canary-child-name",
    "title": "canary-title",
    "login": "canary-login",
    "password": "canary-password",
    "notes": "canary-notes",
    "file name": "canary-file.txt",
    "file content": "canary-file-content",
    "name from a device": "canary-from-device",
    "folder from a device": "canary-device-folder",
}


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalVault, Canaries]]:
    """Run a vault through every kind of request and return all that must not be found."""
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        found = Canaries({name: text.encode() for name, text in TEXTS.items()})
        device = _fill(vault, found)
        _use(device, found)
        yield vault, found


class Canaries:
    """Collect byte strings, and look for them in each form in which they could be written."""

    def __init__(self, texts: dict[str, bytes]) -> None:
        self.texts = texts
        self.keys: dict[str, bytes] = {}

    def forms(self) -> Iterator[tuple[str, bytes]]:
        for name, text in {**self.texts, **self.keys}.items():
            yield name, text
            yield f"{name} in hex", text.hex().encode()
            # Inside longer base64 a text looks different at each of three offsets.
            for offset in range(3):
                shifted = to_base64(b"\0" * offset + text)
                inner = shifted[-(-offset * 4 // 3) : (len(text) + offset) * 4 // 3 - 1]
                yield f"{name} in base64", inner.encode()
                yield f"{name} in base64", inner.replace("+", "-").replace("/", "_").encode()

    def found_in(self, content: bytes) -> list[str]:
        return [name for name, form in self.forms() if form in content]


def test_no_file_of_the_server_holds_a_canary(canaries: tuple[LocalVault, Canaries]) -> None:
    vault, secrets = canaries
    files = [path for path in vault.data.rglob("*") if path.is_file()]

    found = {str(path): secrets.found_in(path.read_bytes()) for path in files}

    # The journal is there: what was written last is searched too.
    assert {"vault.sqlite3", "vault.sqlite3-wal", "vault.sqlite3-shm"} <= {p.name for p in files}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_log_holds_no_canary_and_no_body(canaries: tuple[LocalVault, Canaries]) -> None:
    vault, secrets = canaries
    log = vault.log_file.read_bytes()

    assert b"POST /api/rest/sm/v1/add_file 200" in log
    assert secrets.found_in(log) == []
    assert b"seal=" not in log


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="reads memory through /proc")
def test_the_memory_of_the_server_holds_no_canary(canaries: tuple[LocalVault, Canaries]) -> None:
    vault, secrets = canaries

    try:
        memory = _memory_of(vault.pid)
    except PermissionError:
        pytest.skip("this machine forbids reading the memory of a child process")

    # The search finds what is there: the address that the server gives out.
    assert vault.address.encode() in memory
    assert secrets.found_in(memory) == []


def test_the_search_would_find_the_owners_file(canaries: tuple[LocalVault, Canaries]) -> None:
    vault, secrets = canaries

    found = secrets.found_in(vault.owner_file.read_bytes())

    assert {"application name", "device name", "application key in base64"} <= set(found)


def test_only_the_user_may_read_any_file(canaries: tuple[LocalVault, Canaries]) -> None:
    vault, _ = canaries
    paths = [vault.data, *vault.data.rglob("*"), vault.owner_file.parent, vault.owner_file]

    modes = {str(path): oct(path.stat().st_mode & 0o077) for path in paths}

    assert set(modes.values()) == {"0o0"}


def test_the_application_key_is_gone_once_the_device_has_it(
    canaries: tuple[LocalVault, Canaries],
) -> None:
    vault, _ = canaries
    device = Device.of(vault, vault.new_client(app=APP))
    wrapped = from_base64(device.bind()["encryptedAppKey"])
    database = DataFolder(vault.data).database
    while_binding = _content_of(database)

    device.ask("get_secret")
    with vault.owner() as owner, owner.read() as (connection, _):
        left = connection.execute(
            "SELECT COUNT(*) FROM clients WHERE encrypted_app_key = ?", (wrapped,)
        ).fetchone()[0]

    assert wrapped in while_binding
    assert left == 0


def test_what_is_deleted_is_overwritten(own_vault: LocalVault) -> None:
    device = Device.bound(own_vault)
    folder = device.ask("get_secret")["folders"][0]
    contents = {"title": "x" * 20_000}
    record = device.new_record(folder["folderUid"], device.folder_key(folder), contents)
    device.ask("create_secret", **record)
    device.ask("delete_secret", recordUids=[record["recordUid"]])

    # Stopping folds the journal into the file.
    own_vault.stop()

    content = _content_of(DataFolder(own_vault.data).database)
    data = from_base64(record["data"])
    assert not [at for at in range(0, len(data), 500) if data[at : at + 32] in content]


def _content_of(database: Path) -> bytes:
    return b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))


def _fill(vault: LocalVault, found: Canaries) -> Device:
    with vault.owner() as owner:
        application = create_application(owner, APP)
        folder = add_folder(owner, TEXTS["folder name"], app=APP)
        child = add_folder(owner, TEXTS["child folder name"], app=APP, parent=folder.name)
        record = {
            "title": TEXTS["title"],
            "notes": TEXTS["notes"],
            "fields": [
                {"type": "login", "value": [TEXTS["login"]]},
                {"type": "password", "value": [TEXTS["password"]]},
            ],
        }
        alone = add_records(owner, [record], app=APP)[0]
        inside = add_records(owner, [record], app=APP, folder=child.name)[0]
        content = TEXTS["file content"].encode()
        add_file(owner, content, app=APP, record_uid=alone, name=TEXTS["file name"])
        client = add_client(owner, app=APP, name=TEXTS["device name"])
        with owner.read() as (connection, keyring):
            found.keys = {
                "owner's private key": keyring.private_key.private_numbers().private_value.to_bytes(
                    32, "big"
                ),
                "owner's key file": from_base64(private_key_to_text(keyring.private_key)),
                "application key": application.key,
                "folder key": folder.key,
                "child folder key": find_folder(connection, application, child.folder_uid).key,
                "record key": open_record(connection, application, alone).key,
                "record key in a folder": open_record(connection, application, inside).key,
                "one-time token": from_base64(client.token),
            }
    return Device.of(vault, client)


def _use(device: Device, found: Canaries) -> None:
    device.bind()
    answer = device.ask("get_secret")
    folder = answer["folders"][0]
    folder_key = device.folder_key(folder)
    file = answer["records"][0]["files"][0]
    record_key = gcm_open(device.app_key, from_base64(answer["records"][0]["recordKey"]))
    found.keys["file key"] = gcm_open(record_key, from_base64(file["fileKey"]))
    found.keys["device's private key"] = (
        device.private_key.private_numbers().private_value.to_bytes(32, "big")
    )
    contents = {"title": TEXTS["name from a device"]}
    record = device.new_record(folder["folderUid"], folder_key, contents)
    device.ask("create_secret", **record)
    change = {"recordUid": record["recordUid"], "revision": 1, "data": record["data"]}
    device.ask("update_secret", **change, transactionType="rotation")
    device.ask("finalize_secret_update", recordUid=record["recordUid"])
    made = device.new_folder(folder["folderUid"], folder_key, TEXTS["folder from a device"])
    device.ask("create_folder", **made)
    device.ask(
        "add_file",
        fileRecordUid="A" * 22,
        fileRecordKey=record["recordKey"],
        fileRecordData=record["data"],
        ownerRecordUid=record["recordUid"],
        ownerRecordData=record["data"],
        ownerRecordRevision=2,
        linkKey=record["recordKey"],
        fileSize=100,
    )
    device.exchange("GET", file["url"].split(device.vault.address)[1])
    device.ask("delete_secret", recordUids=[record["recordUid"]])
    device.rejected("get_secret", publicKey=device.public_key)


def _memory_of(pid: int) -> bytes:
    parts = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            span, mode, *_ = line.split()
            if "rw" not in mode or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(edge, 16) for edge in span.split("-"))
            memory.seek(start)
            try:
                parts.append(memory.read(end - start))
            except OSError:
                continue  # a mapping without pages behind it
    return b"".join(parts)
