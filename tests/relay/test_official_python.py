"""The official Python SDK, unchanged, with nothing but the configuration that the relay gave it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import (
    APP_NAME,
    FILE_CONTENT,
    LocalVault,
    SampleContent,
    login_record,
)

from ksm_storage.relay.grant import Grant
from tests.relay.relay import Relay

core = pytest.importorskip("keeper_secrets_manager_core")

from keeper_secrets_manager_core.dto.dtos import (  # noqa: E402
    KeeperFileUpload,
    RecordCreate,
    RecordField,
)
from keeper_secrets_manager_core.dto.payload import CreateOptions  # noqa: E402
from keeper_secrets_manager_core.exceptions import KeeperError  # noqa: E402
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage  # noqa: E402


def connect(relay: Relay, configuration: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the SDK's client; it trusts the relay's authority and nothing else is told to it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", relay.ca_file)
    return core.SecretsManager(config=InMemoryKeyValueStorage(json.dumps(configuration)))


def titles(manager: Any) -> list[str]:
    return sorted(record.title for record in manager.get_secrets())


@pytest.mark.parametrize(
    ("grant", "seen"),
    [
        (Grant(records=("alone",)), ["alone"]),
        (Grant(records=("in *",)), ["in child", "in folder"]),
        (Grant(records=("no such title",)), []),
        (Grant(everything=True), ["alone", "in child", "in folder"]),
    ],
)
def test_a_client_sees_the_records_that_it_was_given(
    relay: Relay,
    content: SampleContent,
    monkeypatch: pytest.MonkeyPatch,
    grant: Grant,
    seen: list[str],
) -> None:
    name = "-".join(seen) or "nothing"
    manager = connect(relay, relay.add(name, grant), monkeypatch)

    assert titles(manager) == seen
    assert all(record.password.startswith("password-of-") for record in manager.get_secrets())


def test_a_client_sees_its_folder_and_what_is_below(
    relay: Relay, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = connect(relay, relay.add("shared", Grant(folders=(content.folder,))), monkeypatch)
    child = connect(relay, relay.add("child", Grant(folders=(content.child,))), monkeypatch)

    assert titles(shared) == ["in child", "in folder"]
    assert titles(child) == ["in child"]
    assert [folder.name for folder in shared.get_folders()] == ["Shared", "Child"]


def test_a_record_by_uid_is_that_record_and_no_other(
    relay: Relay, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = connect(relay, relay.add("by uid", Grant(records=(content.alone,))), monkeypatch)

    (record,) = manager.get_secrets([content.alone])

    assert record.title == "alone"
    assert manager.get_secrets([content.in_folder]) == []
    assert manager.get_notation(f"keeper://{content.alone}/field/password") == "password-of-alone"


def test_files_are_downloaded_through_the_relay(
    relay: Relay, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = connect(relay, relay.add("files", Grant(records=("alone",))), monkeypatch)
    (record,) = manager.get_secrets()

    assert record.files[0].f["url"].startswith(f"https://{relay.address}/files/")
    assert record.files[0].get_file_data() == FILE_CONTENT


def test_a_change_reaches_keeper_and_every_client(
    relay: Relay, vault: LocalVault, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vault.owner() as owner:
        (uid,) = add_records(owner, [login_record("to be changed", "old")], app=APP_NAME)
    writer = connect(relay, relay.add("writer", Grant(records=(uid,))), monkeypatch)
    reader = connect(relay, relay.add("reader", Grant(records=(uid,))), monkeypatch)
    (record,) = writer.get_secrets()

    record.set_standard_field_value("password", "new")
    writer.save(record)

    (found,) = reader.get_secrets()
    assert found.password == "new"


def test_a_record_is_created_in_a_given_folder(
    relay: Relay, vault: LocalVault, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vault.owner() as owner:
        folder = add_folder(owner, "For new records", app=APP_NAME).folder_uid
    manager = connect(relay, relay.add("creator", Grant(folders=(folder,))), monkeypatch)
    record = RecordCreate("login", "made through the relay")
    record.fields = [RecordField(field_type="password", value=["secret of a client"])]

    uid = manager.create_secret(folder, record)
    below = manager.create_folder(CreateOptions(folder, None), "made below")
    second = RecordCreate("login", "made below the folder")
    second.fields = [RecordField(field_type="password", value=["second"])]
    manager.create_secret_with_options(CreateOptions(folder, below), second)

    assert titles(manager) == ["made below the folder", "made through the relay"]
    assert [item.name for item in manager.get_folders()] == ["For new records", "made below"]
    owner_sees = connect(relay, relay.add("sees all", Grant(everything=True)), monkeypatch)
    assert owner_sees.get_secrets([uid])[0].password == "secret of a client"
    manager.update_folder(below, "renamed")
    assert [item.name for item in owner_sees.get_folders() if item.folder_uid == below] == [
        "renamed"
    ]
    manager.delete_folder([below], True)
    assert titles(manager) == ["made through the relay"]


def test_a_file_is_uploaded_through_the_relay(
    relay: Relay, vault: LocalVault, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vault.owner() as owner:
        (uid,) = add_records(owner, [login_record("with a file", "p")], app=APP_NAME)
    manager = connect(relay, relay.add("uploader", Grant(records=(uid,))), monkeypatch)
    (record,) = manager.get_secrets()
    upload = KeeperFileUpload()
    upload.Name, upload.Title, upload.Type, upload.Data = "f", "f", "text/plain", b"of a client"

    manager.upload_file(record, upload)

    (record,) = manager.get_secrets()
    assert record.files[0].get_file_data() == b"of a client"


def test_a_read_only_client_changes_nothing(
    relay: Relay, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = Grant(records=("alone",), folders=(content.folder,), read_only=True)
    manager = connect(relay, relay.add("read only", grant), monkeypatch)
    record = next(item for item in manager.get_secrets() if item.title == "alone")
    record.set_standard_field_value("password", "never")

    with pytest.raises(KeeperError, match="may not edit"):
        manager.save(record)
    with pytest.raises(KeeperError, match="may not edit"):
        manager.delete_secret([content.in_folder])
    with pytest.raises(KeeperError, match="may not edit"):
        manager.create_folder(CreateOptions(content.folder, None), "never")


def test_a_client_cannot_touch_what_it_was_not_given(
    relay: Relay, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = connect(relay, relay.add("narrow", Grant(records=("alone",))), monkeypatch)
    stolen = connect(relay, relay.add("wide", Grant(everything=True)), monkeypatch)
    other = next(item for item in stolen.get_secrets() if item.title == "in folder")
    other.set_standard_field_value("password", "never")

    with pytest.raises(KeeperError, match="not_found"):
        manager.save(other)
    (answer,) = manager.delete_secret([content.in_folder])
    assert answer["responseCode"] == "access_denied"
    with pytest.raises(KeeperError, match="not found"):
        manager.create_folder(CreateOptions(content.folder, None), "never")


def test_a_one_time_token_becomes_a_client(
    relay: Relay, content: SampleContent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token, configuration = relay.add_waiting("by token", Grant(records=("alone",)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", relay.ca_file)

    def redeem() -> Any:
        return core.SecretsManager(
            token=token,
            hostname=configuration["hostname"],
            config=InMemoryKeyValueStorage(),
            server_public_key=configuration["serverPublicKey"],
            server_public_key_id=configuration["serverPublicKeyId"],
        )

    assert [record.title for record in redeem().get_secrets()] == ["alone"]
    with pytest.raises(KeeperError, match="already redeemed"):
        redeem().get_secrets()
