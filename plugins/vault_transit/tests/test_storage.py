"""A file under a Transit key, through the command line and the storage object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ksm_storage import open_storage

from .openbao import OpenBao


@pytest.fixture
def config(tmp_path: Path, bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VAULT_ADDR", bao.url)
    monkeypatch.setenv("VAULT_TOKEN", bao.root)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", os.devnull)
    file = tmp_path / "client-config.json"
    file.write_text(json.dumps({"clientId": "id", "hostname": "keepersecurity.com"}))
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("command", ["rekey", "rewrap --refresh"])
def test_a_file_moves_to_the_newest_version_and_then_needs_no_older_one(
    bao: OpenBao, config: Path, command: str
) -> None:
    name = bao.new_key()
    key = f"vault-transit://transit/{name}"
    _run("protect", str(config), "--key", key)
    bao.ask("POST", f"transit/keys/{name}/rotate")

    _run(*command.split(), str(config))
    bao.ask("POST", f"transit/keys/{name}/config", {"min_decryption_version": 2})

    assert open_storage(str(config)).get("hostname") == "keepersecurity.com"


def test_opening_takes_one_call_and_saving_none(bao: OpenBao, config: Path) -> None:
    name = bao.new_key()
    key = f"vault-transit://transit/{name}"
    before = bao.requests("transit/encrypt", "transit/decrypt")
    _run("protect", str(config), "--key", key)
    assert bao.requests("transit/encrypt", "transit/decrypt") == before + 2

    storage = open_storage(str(config), keys=[key])
    storage.set("hostname", "keepersecurity.eu")

    assert storage.get("hostname") == "keepersecurity.eu"
    assert bao.requests("transit/encrypt", "transit/decrypt") == before + 3


def test_doctor_prints_the_policy_that_is_missing(
    bao: OpenBao, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bao.new_key()
    _run("protect", str(config), "--key", f"vault-transit://transit/{name}")
    policy = bao.policy(f'path "transit/decrypt/{name}" {{ capabilities = ["update"] }}')
    monkeypatch.setenv("VAULT_TOKEN", bao.token(policy))

    said = _run("doctor", str(config), "--json", check=False)

    assert f'path \\"transit/encrypt/{name}\\"' in said
    assert f'path \\"transit/decrypt/{name}\\"' not in said


def test_status_shows_the_version_of_a_file(bao: OpenBao, config: Path) -> None:
    name = bao.new_key()
    _run("protect", str(config), "--key", f"vault-transit://transit/{name}")
    bao.ask("POST", f"transit/keys/{name}/rotate")

    shown = _run("status", str(config), check=False)

    assert f"transit/{name}" in shown
    assert "2" in shown


def _run(*arguments: str, check: bool = True) -> Any:
    ran = subprocess.run(
        [sys.executable, "-m", "ksm_storage", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0 or not check, ran.stderr
    return ran.stdout
