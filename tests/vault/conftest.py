"""A vault with an application, a folder, records and a file, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ksm_storage.vault.owner.applications import create_application
from ksm_storage.vault.owner.files import add_file
from ksm_storage.vault.owner.folders import add_folder
from ksm_storage.vault.owner.records import add_records
from ksm_storage.vault.testing import APP_NAME, LocalVault, running_vault

FILE_CONTENT = bytes(range(256)) * 8


@dataclass(frozen=True)
class Filled:
    """The uids of what a fresh vault holds."""

    alone: str
    in_folder: str
    in_child: str
    folder: str
    child: str
    file: str


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    """Run a vault for the module; tests that change the server's manners use `own_vault`."""
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        yield running


@pytest.fixture(scope="module")
def filled(vault: LocalVault) -> Filled:
    """Fill the module's vault."""
    return fill(vault)


@pytest.fixture
def own_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    """Run a filled vault for one test."""
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        fill(running)
        yield running


def fill(vault: LocalVault) -> Filled:
    """Make an application, a folder with a child, three records and a file."""
    with vault.owner() as owner:
        create_application(owner, APP_NAME)
        folder = add_folder(owner, "Shared", app=APP_NAME).folder_uid
        child = add_folder(owner, "Child", app=APP_NAME, parent="Shared").folder_uid
        alone, in_folder, in_child = add_records(
            owner,
            [
                login("alone", "password-of-alone"),
                {**login("in folder", "password-of-in-folder"), "folder": "Shared"},
                {**login("in child", "password-of-in-child"), "folder": "Child"},
            ],
            app=APP_NAME,
        )
        file = add_file(owner, FILE_CONTENT, app=APP_NAME, record_uid=alone, name="all.bin")
    return Filled(alone, in_folder, in_child, folder, child, file)


def login(title: str, password: str) -> dict[str, object]:
    """Return a record of type login."""
    return {
        "title": title,
        "type": "login",
        "fields": [
            {"type": "login", "value": ["bob"]},
            {"type": "password", "value": [password]},
        ],
        "custom": [{"type": "text", "label": "note", "value": ["one", "two"]}],
        "notes": f"notes of {title}",
    }
