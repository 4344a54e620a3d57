"""A file of a record never leads ``secret download`` out of the working folder."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.records import add_file, add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, running_vault

from tests.cli.command import COMMAND, run
from tests.cli.sealed_device import bind_device

NAMES = {
    "../a": "a",
    "/etc/passwd": "passwd",
    "..\\..\\back": "back",
    "..": None,
    "-": None,
    "a/": None,
    ".bashrc": ".bashrc",
    "half a pair \ud800": None,
}

LARGE = "large.bin"
ODD_UID = "../up"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        with running.owner() as owner:
            create_application(owner, APP_NAME)
            uid = add_records(owner, [{"title": "r", "type": "login", "fields": []}], app=APP_NAME)
            for name in NAMES:
                add_file(owner, b"content", app=APP_NAME, record_uid=uid[0], name=name)
            odd = add_file(owner, b"content", app=APP_NAME, record_uid=uid[0], name="odd/")
            with owner.write() as (connection, _):
                connection.execute("PRAGMA defer_foreign_keys = on")
                for table in ("files", "file_contents"):
                    connection.execute(
                        f"UPDATE {table} SET file_uid = ? WHERE file_uid = ?",
                        (ODD_UID, odd),
                    )
            add_file(owner, bytes(1 << 16), app=APP_NAME, record_uid=uid[0], name=LARGE)
        yield running


@pytest.fixture(scope="module")
def sealed(vault: LocalVault, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bind_device(vault, tmp_path_factory.mktemp("sealed"))


def file_uid(vault: LocalVault, sealed: Path, name: str) -> str:
    shown = run("secret", "get", str(sealed), "r", "--json", "--ca-file", vault.ca_file)
    uids = {file["name"]: file["uid"] for file in json.loads(shown.stdout)["files"]}
    return str(uids[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_file_stays_in_the_folder(
    vault: LocalVault, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)

    # Half of a surrogate pair cannot be written on a command line.
    asked = name if name.isprintable() else file_uid(vault, sealed, name)
    done = run("secret", "download", str(sealed), "r", asked, "--ca-file", vault.ca_file)

    assert done.returncode == 0, done.stderr
    written = [
        os.path.join(folder, file) for folder, _, files in os.walk(tmp_path) for file in files
    ]
    assert [os.path.dirname(file) for file in written] == [str(work)]
    expected = NAMES[name]
    assert expected is None or os.path.basename(written[0]) == expected


def test_a_hidden_name_that_was_not_asked_for_is_not_used(
    vault: LocalVault, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uid = file_uid(vault, sealed, ".bashrc")

    done = run("secret", "download", str(sealed), "r", uid, "--ca-file", vault.ca_file)

    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == [uid]


def test_a_uid_that_leads_out_of_the_folder_is_no_name(
    vault: LocalVault, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    done = run("secret", "download", str(sealed), "r", "odd/", "--ca-file", vault.ca_file)

    assert (done.returncode, "not valid on this system" in done.stderr) == (7, True)
    assert os.listdir(tmp_path) == ["work"]


def test_an_empty_output_is_no_default(
    vault: LocalVault, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = run(
        *("secret", "download", str(sealed), "r", "a/", "--output", ""),
        *("--ca-file", vault.ca_file),
    )

    assert done.returncode == 7
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="only POSIX bounds the size of files")
def test_a_file_that_cannot_be_written_whole_is_not_left_behind(
    vault: LocalVault, sealed: Path, tmp_path: Path
) -> None:
    command = [COMMAND, "secret", "download", str(sealed), "r", LARGE, "--ca-file", vault.ca_file]

    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 8 && exec "$0" "$@"', *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (7, f"error: cannot write '{LARGE}': File too large\n")
    assert os.listdir(tmp_path) == []
