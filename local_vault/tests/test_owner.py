"""The owner's side: its file, its commands, and what they refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.owner.access import (
    add_client,
    create_application,
    list_clients,
    revoke_client,
)
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.owner.session import OwnerSession, owner_session
from ksm_storage_local_vault.testing import LocalVault, SampleContent, login_record

from ksm_storage.errors import SettingsError, StorageError
from ksm_storage.wire.base64_forms import from_base64

from .device import Device

COMMAND = str(Path(sys.executable).with_name("ksm-storage"))


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[OwnerSession]:
    """Return the owner of an empty vault without a server."""
    with owner_session(tmp_path / "vault") as session:
        yield session


def test_the_owners_file_does_not_go_into_the_data_folder(tmp_path: Path) -> None:
    inside = tmp_path / "vault" / "keys" / "owner.json"

    with pytest.raises(SettingsError, match="inside the server's data folder"):
        owner_session(tmp_path / "vault", inside).__enter__()
    assert not inside.exists()


def test_the_owner_of_another_vault_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with owner_session(tmp_path / name) as session:
            create_application(session, "app")

    with (
        owner_session(tmp_path / "one", tmp_path / "two-owner" / "owner.json") as session,
        pytest.raises(SettingsError, match="another vault"),
    ):
        list_clients(session)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"vaultId": 1}'])
def test_a_damaged_owners_file_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "owner.json"
    path.write_bytes(content)

    with (
        owner_session(tmp_path / "vault", path) as session,
        pytest.raises(StorageError, match="not a keyring"),
    ):
        create_application(session, "app")
    assert path.read_bytes() == content


def test_a_key_is_not_lost_when_the_rows_cannot_be_written(owner: OwnerSession) -> None:
    create_application(owner, "app")
    with pytest.raises(SettingsError, match="application 'app' already exists"):
        create_application(owner, "app")

    with owner.read() as (connection, keyring):
        rows = connection.execute("SELECT app_uid FROM applications").fetchall()

    assert [row["app_uid"] for row in rows] == list(keyring.applications)


def test_two_owners_at_once_lose_no_key(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from ksm_storage_local_vault.owner.session import owner_session;"
        "from ksm_storage_local_vault.owner.access import create_application\n"
        "with owner_session(Path(sys.argv[1])) as s:\n"
        "  for n in range(5): create_application(s, sys.argv[2] + str(n))"
    )
    data = str(tmp_path / "vault")

    both = [subprocess.Popen([sys.executable, "-c", script, data, name]) for name in "ab"]

    assert [process.wait(30) for process in both] == [0, 0]
    with owner_session(tmp_path / "vault") as session, session.read() as (_, keyring):
        assert len(keyring.applications) == 10


@pytest.mark.parametrize(
    "records",
    [
        [{"type": "login"}],
        [{"title": ""}],
        [{"title": "x", "fields": {}}],
        [{"title": "x", "custom": ["y"]}],
        [{"title": "x", "folder": "nowhere"}],
        [{"title": "x", "uid": "A" * 22}, {"title": "y", "uid": "A" * 22}],
    ],
)
def test_an_import_is_all_or_nothing(owner: OwnerSession, records: list[Any]) -> None:
    create_application(owner, "app")

    with pytest.raises(SettingsError):
        add_records(owner, [login_record("good", "x"), *records], app="app")

    with owner.read() as (connection, _):
        assert connection.execute("SELECT COUNT(*) FROM records").fetchone()[0] == 0


def test_a_name_that_means_two_folders_is_refused(owner: OwnerSession) -> None:
    create_application(owner, "app")
    uids = [add_folder(owner, "same", app="app").folder_uid for _ in range(2)]

    with pytest.raises(SettingsError, match="several folders"):
        add_folder(owner, "below", app="app", parent="same")
    assert add_folder(owner, "below", app="app", parent=uids[1]).root_uid == uids[1]


def test_a_device_is_revoked_by_name_id_or_beginning(owner: OwnerSession) -> None:
    create_application(owner, "app")
    devices = [add_client(owner, app="app", name=name) for name in ("one", "two", "three")]

    revoke_client(owner, "one")
    revoke_client(owner, devices[1].client_id)
    revoke_client(owner, devices[2].client_id[:8])

    assert {item.state for item in list_clients(owner)} == {"revoked"}
    with pytest.raises(SettingsError, match="not found"):
        revoke_client(owner, devices[2].client_id[:3])


def test_the_commands_make_what_a_device_reads(tmp_path: Path) -> None:
    data = tmp_path / "vault"
    with _serving(data) as (server, listening):
        _vault(data, "app", "create", "demo")
        _vault(data, "folder", "add", "Shared", "--app", "demo")
        record = json.dumps(login_record("from a command", "given by stdin"))
        where = ("--app", "demo", "--folder", "Shared")
        uid = _vault(data, "record", "add", *where, stdin=record).strip()
        client = json.loads(_vault(data, "client", "add", "--app", "demo", "--json"))
        device = _device(tmp_path, listening, client["token"])
        answer = device.bind()
        listed = json.loads(_vault(data, "client", "list", "--json"))
        _vault(data, "client", "revoke", "--client", client["client_id"][:10])
        revoked = device.rejected("get_secret").message

    assert answer["folders"][0]["records"][0]["recordUid"] == uid
    assert client["hostname"] == listening["address"]
    assert [(item["state"], item["address"]) for item in listed] == [("bound", "127.0.0.1")]
    assert (revoked, server.returncode) == ("Client device is revoked", 0)


def test_a_second_server_for_the_same_folder_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "vault"
    with _serving(data) as (_, listening):
        second = _run(data, "serve", "--json", stdin="")
        noted = json.loads((data / "address.json").read_text())

    assert (second.returncode, second.stdout) == (2, "")
    assert f"another server is already serving '{data}' at {listening['address']}" in second.stderr
    assert noted == {"address": listening["address"]}


def test_a_new_token_is_shown_with_its_terms(tmp_path: Path) -> None:
    data = tmp_path / "vault"
    _vault(data, "app", "create", "demo")

    text = _vault(data, "client", "add", "--app", "demo", "--unlock-ip", "--access-expires", "7d")
    lines = dict(line.split(":", 1) for line in text.splitlines())

    assert len(lines["One-Time Access Token"].strip()) == 43
    assert lines["IP Lock"].strip() == "Disabled"
    assert lines["Token Expires On"].strip().endswith("Z")
    assert lines["App Access Expires On"].strip().endswith("Z")


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("record", "add", "--app", "no"), '{"title": "x"}', "application 'no' not found"),
        (("record", "add", "--app", "no"), "secret-text", "not valid JSON"),
        (("record", "import", "--app", "no"), '{"title": "x"}', "not a list of records"),
        (("client", "revoke", "--client", "nobody"), "", "device 'nobody' not found"),
        (("client", "add", "--app", "no", "--token-expires", "soon"), "", "not a valid duration"),
        (("client", "add", "--app", "no", "--access-expires", "36526d"), "", "a hundred years"),
        (("record", "add", "--app", "no"), "[" * 100_000, "not valid JSON"),
        (("throttle", "--next", "1", "--retry-after", "nan"), "", "must be a number of seconds"),
        (("throttle", "--next", "1", "--retry-after", "inf"), "", "must be a number of seconds"),
        (("throttle", "--limit", "1", "--per", "inf"), "", "must be a number of seconds"),
        (("throttle", "--next", "9" * 20), "", "must be from 1 to"),
        (("serve", "--host", "0.0.0.0"), "", "can be reached from other machines"),
        (("throttle", "--off", "--next", "1"), "", "--off cannot be combined"),
    ],
)
def test_a_refused_command_says_why_and_prints_no_data(
    tmp_path: Path, arguments: tuple[str, ...], stdin: str, said: str
) -> None:
    done = _run(tmp_path / "vault", *arguments, stdin=stdin)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "secret-text" not in done.stderr


def test_the_owners_file_has_exactly_these_parts(vault: LocalVault, filled: SampleContent) -> None:
    with vault.owner() as session, session.read() as (_, keyring):
        content = json.loads(keyring.to_bytes())

    assert set(content) == {"version", "vaultId", "privateKey", "applications", "clients"}


@contextmanager
def _serving(data: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    command = [COMMAND, "vault", "serve", "--data", str(data), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server, _read_json(server)
        finally:
            server.send_signal(signal.SIGTERM)


def _device(folder: Path, listening: dict[str, str], token: str) -> Device:
    vault = LocalVault(folder)
    vault.address = listening["address"]
    vault.server_public_key = listening["server_public_key"]
    vault.server_public_key_id = listening["server_public_key_id"]
    return Device(vault, from_base64(token))


def _read_json(server: subprocess.Popen[str]) -> dict[str, str]:
    lines: list[str] = []
    assert server.stdout is not None
    while not lines or lines[-1] != "}\n":
        lines.append(server.stdout.readline())
    parsed: dict[str, str] = json.loads("".join(lines))
    return parsed


def _vault(data: Path, *arguments: str, stdin: str = "") -> str:
    done = _run(data, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(data: Path, *arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "vault", *arguments],
        input=stdin,
        env={**os.environ, "KSM_STORAGE_VAULT_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
