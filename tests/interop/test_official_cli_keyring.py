"""A profile that the official command line keeps in the OS keyring moves through a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ksm_storage
from tests.cli.command import run
from tests.secret_service_daemon import KeyringDaemon

KSM = Path(sys.executable).with_name("ksm")
FILL = """
from keeper_secrets_manager_cli.keyring_config import KeyringConfigStorage
keyring = KeyringConfigStorage()
keyring.save_profile("prod", {"clientId": "Q0lE", "hostname": "keepersecurity.eu"})
keyring.add_profile_to_list("prod")
keyring.save_common_config({**keyring.load_common_config(), "active_profile": "prod"})
"""


def test_a_profile_of_the_keyring_is_exported_and_sealed(
    secret_service: KeyringDaemon, folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.SecretService.Keyring")
    monkeypatch.chdir(folder)
    subprocess.run([sys.executable, "-c", FILL], timeout=50, check=True)

    exported = subprocess.run(
        [KSM, "profile", "export", "prod", "--file-format", "json", "--plain"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert exported.returncode == 0, exported.stderr
    added = run("profile", "add", "sealed.json", "prod", "--key", key, stdin=exported.stdout)

    assert added.returncode == 0, added.stderr
    storage = ksm_storage.open_storage("sealed.json")
    assert storage.read_storage() == {"clientId": "Q0lE", "hostname": "keepersecurity.eu"}
