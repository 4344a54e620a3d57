"""A file of a record never leads ``secret download`` out of the working folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.vault.owner.applications import create_application
from ksm_storage.vault.owner.files import add_file
from ksm_storage.vault.owner.records import add_records
from ksm_storage.vault.testing import APP_NAME, LocalVault, running_vault
from tests.cli.command import key_file, run

NAMES = {
    "../up": "up",
    "/etc/passwd": "passwd",
    "..\\..\\back": "back",
    "..": None,
    "-": None,
    "a/": None,
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        with running.owner() as owner:
            create_application(owner, APP_NAME)
            uid = add_records(owner, [{"title": "r", "type": "login", "fields": []}], app=APP_NAME)
            for name in NAMES:
                add_file(owner, b"content", app=APP_NAME, record_uid=uid[0], name=name)
        yield running


@pytest.fixture(scope="module")
def sealed(vault: LocalVault, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    key = vault.server_public_key, vault.server_public_key_id
    done = run(
        *("init", "-", str(folder / "c.json"), "--key", key_file(folder)),
        *("--hostname", vault.address, "--ca-file", vault.ca_file),
        *("--server-key", key[0], "--server-key-id", key[1]),
        stdin=vault.new_client().token,
    )
    assert done.returncode == 0, done.stderr
    return folder / "c.json"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_stays_in_the_folder(
    vault: LocalVault, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)

    done = run("secret", "download", str(sealed), "r", name, "--ca-file", vault.ca_file)

    assert done.returncode == 0, done.stderr
    written = [
        os.path.join(folder, file) for folder, _, files in os.walk(tmp_path) for file in files
    ]
    assert [os.path.dirname(file) for file in written] == [str(work)]
    expected = NAMES[name]
    assert expected is None or os.path.basename(written[0]) == expected
