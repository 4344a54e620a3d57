"""Binding and reading give the same results in all four ways."""

from __future__ import annotations

from typing import Any

import pytest
from ksm_storage_local_vault.testing import APP_NAME, FILE_CONTENT, LocalVault, SampleContent

from tests.both_ways.ways import CLIENTS, Client, Way

BOUND = {
    *("appKey", "appOwnerPublicKey", "clientId", "hostname", "privateKey"),
    *("serverPublicKey", "serverPublicKeyId"),
}


def test_binding_leaves_the_same_fields(way: Way, device: Any) -> None:
    assert set(way.open_config().read_storage()) == BOUND


def test_a_bound_device_needs_no_token(way: Way, device: Any, vault: LocalVault) -> None:
    titles = {record.title for record in way.connect(vault).get_secrets()}

    assert titles == {"alone", "in folder", "in child"}


def test_a_token_binds_once(way: Way, vault: LocalVault) -> None:
    token = vault.new_client().token
    way.connect(vault, token=token).get_secrets()
    way.path.unlink()

    with way.refused_at_bind("redeemed"):
        way.connect(vault, token=token).get_secrets()


@pytest.mark.parametrize("other", CLIENTS.values(), ids=CLIENTS)
def test_what_one_client_has_bound_every_client_reads(
    way: Way, device: Any, vault: LocalVault, other: Client
) -> None:
    again = other.connect(vault, way.open_config())

    assert len(again.get_secrets()) == 3


def test_every_record_is_read(device: Any, filled: SampleContent) -> None:
    read = {
        record.uid: (
            record.title,
            record.type,
            record.password,
            record.field("login", single=True),
            record.custom_field("note"),
            record.dict["notes"],
            record.folder_uid or "",
            record.inner_folder_uid or "",
            record.is_editable,
            record.revision,
            [(file.name, file.size) for file in record.files],
        )
        for record in device.get_secrets()
    }

    common = ("login", "bob", ["one", "two"])
    files = [("all.bin", len(FILE_CONTENT))]
    assert read == {
        filled.alone: _read("alone", common, "", "", 2, files),
        filled.in_folder: _read("in folder", common, filled.folder, "", 1, []),
        filled.in_child: _read("in child", common, filled.folder, filled.child, 1, []),
    }


def _read(
    title: str,
    common: tuple[str, str, list[str]],
    folder: str,
    inner: str,
    revision: int,
    files: list[tuple[str, int]],
) -> tuple[Any, ...]:
    kind, login, note = common
    password = f"password-of-{title.replace(' ', '-')}"
    content = (title, kind, password, login, note, f"notes of {title}")
    return (*content, folder, inner, True, revision, files)


def test_records_are_filtered_by_uid_and_by_folder(
    way: Way, device: Any, filled: SampleContent
) -> None:
    by_folder = device.get_secrets_with_options(way.client.kit.QueryOptions(None, [filled.child]))

    assert [record.uid for record in device.get_secrets([filled.in_folder])] == [filled.in_folder]
    assert [record.uid for record in by_folder] == [filled.in_child]
    assert list(device.get_secrets(["A" * 22])) == []


def test_records_are_found_by_title(device: Any, filled: SampleContent) -> None:
    assert device.get_secret_by_title("in child").uid == filled.in_child
    assert device.get_secret_by_title("nobody") is None


def test_the_application_is_named(device: Any) -> None:
    answer = device.get_secrets(full_response=True)

    assert (answer.appData.title, answer.expiresOn or None) == (APP_NAME, None)


def test_folders_have_names_and_parents(device: Any, filled: SampleContent) -> None:
    folders = {item.folder_uid: (item.name, item.parent_uid or "") for item in device.get_folders()}

    assert folders[filled.folder] == ("Shared", "")
    assert folders[filled.child] == ("Child", filled.folder)


@pytest.mark.parametrize(
    ("notation", "expected"),
    [
        ("keeper://{alone}/field/password", "password-of-alone"),
        ("keeper://alone/field/login", "bob"),
        ("keeper://{in_child}/custom_field/note[1]", "two"),
        ("keeper://{in_child}/custom_field/note[]", ["one", "two"]),
        ("keeper://in child/title", "in child"),
        ("keeper://{in_folder}/notes", "notes of in folder"),
        ("keeper://{in_folder}/type", "login"),
        ("keeper://{alone}/file/all.bin", FILE_CONTENT),
    ],
)
def test_notation_resolves(
    device: Any, filled: SampleContent, notation: str, expected: object
) -> None:
    uids = {"alone": filled.alone, "in_folder": filled.in_folder, "in_child": filled.in_child}

    assert device.get_notation(notation.format(**uids)) == expected


@pytest.mark.parametrize("notation", ["keeper://nobody/field/password", "alone/field/nothing"])
def test_notation_that_selects_nothing_is_a_value_error(device: Any, notation: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the official client's messages are its own
        device.get_notation(notation)
