"""A client device whose key is in Transit: bound, used, stopped and moved, on the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault, add_sample_content, running_vault

from ksm_storage import open_storage
from ksm_storage.engine import SecretsManager
from ksm_storage.errors import KeyStateError, PermissionDeniedError

from .openbao import OpenBao

P256 = {"type": "ecdsa-p256"}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        add_sample_content(running)
        yield running


@pytest.fixture
def path(tmp_path: Path, bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VAULT_ADDR", bao.url)
    monkeypatch.setenv("VAULT_TOKEN", bao.root)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", os.devnull)
    return tmp_path / "client-config.json"


def bind(path: Path, bao: OpenBao, vault: LocalVault, *, token: str | None = None) -> str:
    """Bind a device under a key of its own, signing with a key of its own; return its name."""
    name = bao.new_key(options=P256)
    _run(
        *("init", str(path), "--key", f"vault-transit://transit/{bao.new_key()}"),
        *("--device-key", f"vault-transit://transit/{name}", "--ca-file", vault.ca_file),
        *("--hostname", vault.address, "--server-key", vault.server_public_key),
        *("--server-key-id", vault.server_public_key_id),
        stdin=token or vault.new_client().token,
    )
    return name


def test_a_request_is_one_signature_of_the_version_that_was_bound(
    bao: OpenBao, path: Path, vault: LocalVault
) -> None:
    name = bind(path, bao, vault)
    bao.ask("POST", f"transit/keys/{name}/rotate")
    manager = SecretsManager(config=open_storage(path), ca_file=vault.ca_file)
    assert list(manager.get_secrets())
    before = bao.requests("transit/sign", "transit/keys", "auth/")

    manager.get_secrets()

    assert bao.requests("transit/sign", "transit/keys", "auth/") == before + 1
    assert open_storage(path).get("deviceKey") == f"vault-transit://transit/{name}@1"


def test_a_key_that_is_disabled_stops_the_device_without_keeper(
    bao: OpenBao, path: Path, vault: LocalVault
) -> None:
    name = bind(path, bao, vault)
    manager = SecretsManager(config=open_storage(path), ca_file=vault.ca_file)
    manager.get_secrets()

    bao.ask("DELETE", f"transit/keys/{name}/soft-delete")
    with pytest.raises(KeyStateError):
        manager.get_secrets()
    bao.ask("POST", f"transit/keys/{name}/soft-delete-restore")

    assert list(manager.get_secrets())


def test_status_and_doctor_tell_of_the_device_key(
    bao: OpenBao, path: Path, vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bind(path, bao, vault)
    assert f"device key vault-transit://transit/{name}@1: enabled" in _run("status", str(path))
    bao.ask("DELETE", f"transit/keys/{name}/soft-delete")

    (file,) = json.loads(_run("status", str(path), "--json"))
    bao.ask("POST", f"transit/keys/{name}/soft-delete-restore")
    reading = f'path "transit/keys/{name}" {{ capabilities = ["read"] }}'
    monkeypatch.setenv("VAULT_TOKEN", bao.token(bao.policy(reading)))
    key = f"vault-transit://transit/{name}@1"
    examined = json.loads(_run("doctor", "--examine", key, "--json", code=4))

    assert file["device_keys"][0]["state"] == "disabled"
    sign = examined["keys"][0]["permissions"][0]
    assert (sign["need"], sign["granted"]) == ("sign", False)
    assert f"transit/sign/{name}/sha2-256" in sign["grant"]


def test_the_policy_of_the_page_reads_secrets_and_no_more(
    bao: OpenBao, path: Path, vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bind(path, bao, vault)
    signing = f'path "transit/sign/{name}/sha2-256" {{ capabilities = ["update"] }}'
    opening = 'path "transit/decrypt/*" { capabilities = ["update"] }'
    monkeypatch.setenv("VAULT_TOKEN", bao.token(bao.policy(f"{signing}\n{opening}")))
    manager = SecretsManager(config=open_storage(path), ca_file=vault.ca_file)
    assert list(manager.get_secrets())

    monkeypatch.setenv("VAULT_TOKEN", bao.token(bao.policy(opening)))
    manager = SecretsManager(config=open_storage(path), ca_file=vault.ca_file)
    with pytest.raises(PermissionDeniedError) as caught:
        manager.get_secrets()

    assert caught.value.permission == f"update on transit/sign/{name}/sha2-256"


def test_a_device_moves_out_of_transit_and_back(
    bao: OpenBao, path: Path, vault: LocalVault
) -> None:
    bind(path, bao, vault)
    rotate = ("device", "rotate", str(path), "--ca-file", vault.ca_file)

    _run(*rotate, "--stored-key", stdin=vault.new_client().token)
    assert open_storage(path).get("privateKey")
    key = f"vault-transit://transit/{bao.new_key(options=P256)}"
    _run(*rotate, "--device-key", key, stdin=vault.new_client().token)

    assert open_storage(path).get("deviceKey") == f"{key}@1"
    listed = json.loads(_run("secret", "list", str(path), "--ca-file", vault.ca_file, "--json"))
    assert listed


def _run(*arguments: str, stdin: str = "", code: int = 0) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "ksm_storage", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout
