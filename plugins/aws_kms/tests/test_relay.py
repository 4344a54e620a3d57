"""The official SDK reads through the relay, whose device signs with a key in KMS."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import add_sample_content, running_vault

from .emulated_kms import EmulatedKms

core = pytest.importorskip("keeper_secrets_manager_core")

from keeper_secrets_manager_core.exceptions import KeeperError  # noqa: E402
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage  # noqa: E402


def test_a_read_through_the_relay_is_one_signature_until_the_key_is_disabled(
    emulator: EmulatedKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "client-config.json"
    device = emulator.create_key(key_spec="ECC_NIST_P256")
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", emulator.url)
    with running_vault(tmp_path) as vault:
        add_sample_content(vault)
        _run(
            *("init", str(path), "--key", f"aws-kms://{emulator.create_key()}"),
            *("--device-key", f"aws-kms://{device}", "--ca-file", vault.ca_file),
            *("--hostname", vault.address, "--server-key", vault.server_public_key),
            *("--server-key-id", vault.server_public_key_id),
            stdin=vault.new_client().token,
        )
        added = _run("relay", "client", "add", str(path), "web", "--record", "alone")
        configuration = base64.b64decode(added).decode()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{path}.relay/ca.pem")
        official = core.SecretsManager(config=InMemoryKeyValueStorage(configuration))
        serve = ("relay", "serve", str(path), "--cache", "0", "--ca-file", vault.ca_file, "--json")
        with subprocess.Popen(_command(*serve), stdout=subprocess.PIPE, text=True) as relay:
            assert relay.stdout is not None
            assert json.loads("".join(iter(relay.stdout.readline, "}\n")) + "}")
            try:
                signed, calls = _signatures(emulator), emulator.calls()
                titles = [record.title for record in official.get_secrets()]
                counted = (_signatures(emulator) - signed, emulator.calls() - calls)
                emulator.client.disable_key(KeyId=device)
                with pytest.raises(KeeperError):
                    official.get_secrets()
            finally:
                relay.kill()

    assert titles == ["alone"]
    assert counted == (1, 1), "one signature, and no other call"
    assert "deviceKey" not in configuration


def _signatures(emulator: EmulatedKms) -> int:
    return emulator.emulator.transcript.calls().get("Sign", 0)


def _run(*arguments: str, stdin: str = "") -> str:
    ran = subprocess.run(
        _command(*arguments), input=stdin, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ksm_storage", *arguments]
