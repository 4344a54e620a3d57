"""Programs read through a relay whose file, and whose device key, are under keys in KMS."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault, add_sample_content, running_vault

from .emulated_kms import EmulatedKms

pytest.importorskip("keeper_secrets_manager_core")

# The official SDK in a process of its own; it prints the titles of what it may read.
READ = """
import sys
from keeper_secrets_manager_core import SecretsManager
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
manager = SecretsManager(config=InMemoryKeyValueStorage(sys.argv[1]))
print(*(record.title for record in manager.get_secrets()))
"""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        add_sample_content(running)
        yield running


@pytest.fixture
def path(emulator: EmulatedKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", emulator.url)
    return tmp_path / "client-config.json"


def test_a_read_is_one_signature_until_the_device_key_is_disabled(
    emulator: EmulatedKms, vault: LocalVault, path: Path
) -> None:
    device = emulator.create_key(key_spec="ECC_NIST_P256")
    _bind(path, emulator, vault, "--device-key", f"aws-kms://{device}")
    web = _new_client(path, "web")
    assert "deviceKey" not in web
    with _relay(path, vault):
        calls = emulator.emulator.transcript.calls()

        assert _read(path, web) == "alone"

        assert emulator.emulator.transcript.calls() == {**calls, "Sign": calls["Sign"] + 1}
        emulator.client.disable_key(KeyId=device)
        assert _read(path, web) is None


def test_no_start_of_a_program_calls_the_key_service(
    emulator: EmulatedKms, vault: LocalVault, path: Path
) -> None:
    _bind(path, emulator, vault)
    clients = [_new_client(path, name) for name in ("web", "cron")]
    with _relay(path, vault):
        before = emulator.calls()

        assert [_read(path, client) for client in clients] == ["alone", "alone"]

        assert emulator.calls() == before


def _bind(path: Path, emulator: EmulatedKms, vault: LocalVault, *options: str) -> None:
    _run(
        *("init", str(path), "--key", f"aws-kms://{emulator.create_key()}", *options),
        *("--ca-file", vault.ca_file, "--hostname", vault.address),
        *("--server-key", vault.server_public_key),
        *("--server-key-id", vault.server_public_key_id),
        stdin=vault.new_client().token,
    )


def _new_client(path: Path, name: str) -> str:
    added = _run("relay", "client", "add", str(path), name, "--record", "alone")
    return base64.b64decode(added).decode()


@contextmanager
def _relay(path: Path, vault: LocalVault) -> Iterator[None]:
    serve = ("relay", "serve", str(path), "--cache", "0", "--ca-file", vault.ca_file, "--json")
    with subprocess.Popen(_command(*serve), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        try:
            yield
        finally:
            process.kill()


def _read(path: Path, configuration: str) -> str | None:
    """Start a program without credentials for KMS; return what it reads, or None if it fails."""
    environment = {name: value for name, value in os.environ.items() if "AWS" not in name}
    environment["REQUESTS_CA_BUNDLE"] = f"{path}.relay/ca.pem"
    ran = subprocess.run(
        [sys.executable, "-c", READ, configuration], env=environment, capture_output=True, text=True
    )
    return None if ran.returncode else ran.stdout.strip()


def _run(*arguments: str, stdin: str = "") -> str:
    ran = subprocess.run(
        _command(*arguments), input=stdin, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ksm_storage", *arguments]
