"""The official Python SDK, unchanged, works with the vault."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from ksm_storage_local_vault.owner.access import revoke_client
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.server_settings import ThrottleRule
from ksm_storage_local_vault.testing import (
    APP_NAME,
    FILE_CONTENT,
    LocalVault,
    SampleContent,
    login_record,
)

core = pytest.importorskip("keeper_secrets_manager_core")

from keeper_secrets_manager_core.configkeys import ConfigKeys  # noqa: E402
from keeper_secrets_manager_core.dto.dtos import (  # noqa: E402
    KeeperFileUpload,
    RecordCreate,
    RecordField,
)
from keeper_secrets_manager_core.dto.payload import (  # noqa: E402
    CreateOptions,
    QueryOptions,
)
from keeper_secrets_manager_core.exceptions import KeeperError, KeeperThrottleError  # noqa: E402
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage  # noqa: E402

Connect = Callable[..., Any]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that binds the SDK to a vault with a new token."""

    def connected(vault: LocalVault, config: Any = None, **terms: Any) -> Any:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", vault.ca_file)
        return core.SecretsManager(
            token=vault.new_client(**terms).token if config is None else None,
            hostname=vault.address,
            config=InMemoryKeyValueStorage() if config is None else config,
            server_public_key=vault.server_public_key,
            server_public_key_id=vault.server_public_key_id,
        )

    return connected


@pytest.fixture
def sdk(vault: LocalVault, filled: SampleContent, connect: Connect) -> Any:
    """Return an SDK that is bound to the module's vault."""
    sdk = connect(vault)
    sdk.get_secrets()
    return sdk


def test_it_binds_and_reads_every_record(sdk: Any) -> None:
    records = {record.title: record for record in sdk.get_secrets()}

    assert {"alone", "in folder", "in child"} <= set(records)
    assert records["in child"].password == "password-of-in-child"
    assert sdk.config.get(ConfigKeys.KEY_APP_KEY)
    assert sdk.config.get(ConfigKeys.KEY_CLIENT_KEY) is None


def test_a_bound_configuration_needs_no_token(
    vault: LocalVault, filled: SampleContent, connect: Connect
) -> None:
    first = connect(vault)
    first.get_secrets()

    again = connect(vault, config=first.config)

    assert [record.uid for record in again.get_secrets([filled.alone])] == [filled.alone]


def test_records_are_filtered_by_uid_and_by_folder(sdk: Any, filled: SampleContent) -> None:
    by_folder = sdk.get_secrets_with_options(QueryOptions(None, [filled.child]))

    assert [record.uid for record in sdk.get_secrets(filled.in_folder)] == [filled.in_folder]
    assert [record.uid for record in by_folder] == [filled.in_child]


def test_a_record_in_a_child_folder_names_both_folders(sdk: Any, filled: SampleContent) -> None:
    record = sdk.get_secrets([filled.in_child])[0]

    assert (record.folder_uid, record.inner_folder_uid) == (filled.folder, filled.child)


def test_the_answer_names_application_and_expiry(
    vault: LocalVault, filled: SampleContent, connect: Connect
) -> None:
    before = time.time() * 1000

    answer = connect(vault, access_seconds=60.0).get_secrets(full_response=True)

    assert answer.appData.title == APP_NAME
    assert before < answer.expiresOn <= time.time() * 1000 + 60_000


@pytest.mark.parametrize(
    ("notation", "expected"),
    [
        ("keeper://{alone}/field/password", "password-of-alone"),
        ("keeper://alone/field/login", "bob"),
        ("keeper://{in_child}/custom_field/note[1]", "two"),
        ("keeper://{in_child}/custom_field/note[]", ["one", "two"]),
        ("keeper://in child/title", "in child"),
        ("keeper://{in_folder}/notes", "notes of in folder"),
        ("keeper://{alone}/file/all.bin", FILE_CONTENT),
    ],
)
def test_notation_resolves(
    sdk: Any, filled: SampleContent, notation: str, expected: object
) -> None:
    uids = {"alone": filled.alone, "in_folder": filled.in_folder, "in_child": filled.in_child}

    assert sdk.get_notation(notation.format(**uids)) == expected


def test_the_folder_tree_has_names_and_parents(sdk: Any, filled: SampleContent) -> None:
    folders = {item.folder_uid: item for item in sdk.get_folders()}

    assert folders[filled.folder].name == "Shared"
    assert folders[filled.child].name == "Child"
    assert folders[filled.child].parent_uid == filled.folder


def test_folders_are_made_renamed_nested_and_deleted(sdk: Any, filled: SampleContent) -> None:
    made = sdk.create_folder(CreateOptions(filled.folder, None), "made")
    below = sdk.create_folder(CreateOptions(filled.folder, made), "below")
    sdk.update_folder(below, "renamed")
    folders = {item.folder_uid: item for item in sdk.get_folders()}

    refused = sdk.delete_folder([made])
    deleted = sdk.delete_folder([made], force_deletion=True)

    assert (folders[below].name, folders[below].parent_uid) == ("renamed", made)
    assert refused[0]["responseCode"] == "not_empty"
    assert deleted == [{"folderUid": made, "responseCode": "ok"}]
    assert not {made, below} & {item.folder_uid for item in sdk.get_folders()}


def test_a_record_is_created_updated_and_deleted(sdk: Any, filled: SampleContent) -> None:
    uid = sdk.create_secret(filled.folder, _new_record("made by a device"))
    record = sdk.get_secrets([uid])[0]
    record.set_standard_field_value("password", "changed")
    sdk.save(record)

    again = sdk.get_secrets([uid])[0]
    answers = sdk.delete_secret([uid, "A" * 22])

    assert (again.password, again.revision) == ("changed", record.revision + 1)
    assert [answer["responseCode"] for answer in answers] == ["ok", "not_found"]
    assert sdk.get_secrets([uid]) == []


def test_a_record_is_created_in_a_child_folder(sdk: Any, filled: SampleContent) -> None:
    options = CreateOptions(filled.folder, filled.child)

    uid = sdk.create_secret_with_options(options, _new_record("in the child"))

    assert sdk.get_secrets([uid])[0].inner_folder_uid == filled.child


@pytest.mark.parametrize(("rollback", "expected"), [(False, "rotated"), (True, "before")])
def test_a_transaction_is_held_until_it_ends(
    sdk: Any, filled: SampleContent, rollback: bool, expected: str
) -> None:
    uid = sdk.create_secret(filled.folder, _new_record("rotated", password="before"))
    record = sdk.get_secrets([uid])[0]
    record.set_standard_field_value("password", "rotated")

    sdk.save(record, transaction_type="rotation")
    meanwhile = sdk.get_secrets([uid])[0].password
    sdk.complete_transaction(uid, rollback=rollback)

    assert meanwhile == "before"
    assert sdk.get_secrets([uid])[0].password == expected


def test_saving_an_outdated_record_is_refused(sdk: Any, filled: SampleContent) -> None:
    uid = sdk.create_secret(filled.folder, _new_record("outdated"))
    record = sdk.get_secrets([uid])[0]
    sdk.save(record)

    with pytest.raises(KeeperError, match="out_of_sync"):
        sdk.save(record)


def test_a_file_is_uploaded_downloaded_and_removed(sdk: Any, filled: SampleContent) -> None:
    uid = sdk.create_secret(filled.folder, _new_record("with a file"))
    content = b"file content " * 50_000
    upload = KeeperFileUpload(name="a.txt", title="A", mime_type="text/plain", data=content)

    file_uid = sdk.upload_file(sdk.get_secrets([uid])[0], upload)
    record = sdk.get_secrets([uid])[0]
    downloaded = record.find_file_by_title("A").get_file_data()
    sdk.save(record, links_to_remove=[file_uid])

    assert downloaded == content
    assert record.get_standard_field_value("fileRef") == [file_uid]
    assert sdk.get_secrets([uid])[0].files == []


def test_links_are_given_when_asked_for(
    vault: LocalVault, filled: SampleContent, connect: Connect
) -> None:
    with vault.owner() as owner:
        link = {"recordUid": filled.alone, "data": {"is_admin": True}}
        jit = {"path": "jit_settings", "data": {"elevate": True}}
        uid = add_records(
            owner, [{**login_record("linked", "x"), "links": [link, jit]}], app=APP_NAME
        )[0]
    sdk = connect(vault)

    record = sdk.get_secrets_with_options(QueryOptions([uid], None, True))[0]
    admin, settings = record.get_links()

    assert (admin.record_uid, admin.is_admin_user()) == (filled.alone, True)
    assert settings.get_jit_settings_data(record.record_key_bytes) == {"elevate": True}
    assert sdk.get_secrets([uid])[0].get_links() == []


def test_what_is_shared_for_reading_is_not_changed(
    vault: LocalVault, filled: SampleContent, connect: Connect
) -> None:
    with vault.owner() as owner:
        add_folder(owner, "Readable", app=APP_NAME, read_only=True)
        uid = add_records(owner, [login_record("readable", "x")], app=APP_NAME, folder="Readable")[
            0
        ]
    sdk = connect(vault)
    record = sdk.get_secrets([uid])[0]

    assert record.is_editable is False
    with pytest.raises(KeeperError, match="Application may not edit"):
        sdk.save(record)
    with pytest.raises(KeeperError, match="Application may not edit"):
        sdk.create_secret(record.folder_uid, _new_record("refused"))
    assert sdk.delete_secret([uid])[0]["responseCode"] == "access_denied"


def test_it_follows_another_id_of_the_server_key(own_vault: LocalVault, connect: Connect) -> None:
    sdk = connect(own_vault)
    sdk.get_secrets()
    with own_vault.owner() as owner:
        new = owner.renumber_server_key()

    assert len(sdk.get_secrets()) == 3
    assert sdk.config.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID) == new.key_id


def test_a_new_server_key_must_be_given_to_it(own_vault: LocalVault, connect: Connect) -> None:
    sdk = connect(own_vault)
    sdk.get_secrets()
    with own_vault.owner() as owner:
        new = owner.rotate_server_key()

    with pytest.raises(KeeperError, match="bad_request"):
        sdk.get_secrets()

    sdk.config.set(ConfigKeys.KEY_SERVER_PUBLIC_KEY, new.public_text)
    assert len(sdk.get_secrets()) == 3


def test_it_waits_out_a_throttled_request(own_vault: LocalVault, connect: Connect) -> None:
    sdk = connect(own_vault)
    sdk.get_secrets()
    with own_vault.owner() as owner:
        owner.throttle = ThrottleRule(throttle_next=2, retry_after_seconds=0.01)

    assert len(sdk.get_secrets()) == 3


def test_it_gives_up_when_it_is_throttled_too_long(own_vault: LocalVault, connect: Connect) -> None:
    sdk = connect(own_vault)
    sdk.get_secrets()
    with own_vault.owner() as owner:
        owner.throttle = ThrottleRule(request_limit=1, retry_after_seconds=0.01)

    sdk.get_folders()

    with pytest.raises(KeeperThrottleError):
        sdk.get_folders()


def test_a_revoked_device_is_refused_at_its_next_request(
    vault: LocalVault, filled: SampleContent, connect: Connect
) -> None:
    sdk = connect(vault)
    record = sdk.get_secrets([filled.alone])[0]
    with vault.owner() as owner:
        revoke_client(owner, sdk.config.get(ConfigKeys.KEY_CLIENT_ID))

    with pytest.raises(KeeperError, match="Client device is revoked"):
        sdk.get_secrets()
    # It takes the refusal for the encrypted content of the file.
    with pytest.raises(InvalidTag):
        record.files[0].get_file_data()


def _new_record(title: str, *, password: str = "secret") -> Any:
    record = RecordCreate("login", title)
    record.fields = [RecordField("login", "bob"), RecordField("password", password)]
    return record
