"""A client device whose key is in a token: bound, used and stopped."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault, add_sample_content, running_vault

from .soft_token import PIN, SoftToken

HERE = Path(__file__).parents[1]

# The relay as the command runs it; at its end it says how often the token was asked for what.
COUNTED = """
import sys
from ksm_storage.cli.main import main
from ksm_storage_entrust_hsm import cryptoki
from tests.interposer import Interposer
standing, real = Interposer(), cryptoki.function_list
cryptoki.function_list = lambda path: standing.interposed(real(path))
try:
    main(sys.argv[1:])
finally:
    print("calls", *(standing.calls[name] for name in ("C_Decrypt", "C_Sign")))
"""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        add_sample_content(running)
        yield running


@pytest.fixture
def path(
    soft_token: SoftToken, vault: LocalVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a sealed file whose device key is in the token."""
    monkeypatch.setenv("KSM_STORAGE_PKCS11_MODULE", soft_token.library)
    monkeypatch.setenv("KSM_STORAGE_PKCS11_PIN", PIN)
    monkeypatch.setenv("KSM_TOKEN", vault.new_client().token)
    path = tmp_path / "client-config.json"
    _run(
        *("init", str(path), "--key", "pkcs11:token=ksm;object=one"),
        *("--device-key", "pkcs11:token=ksm;object=sign-switched"),
        *("--hostname", vault.address, "--ca-file", vault.ca_file),
        *("--server-key", vault.server_public_key),
        *("--server-key-id", vault.server_public_key_id),
    )
    return path


def test_a_device_signs_in_the_token_and_stops_when_its_key_may_no_longer(
    soft_token: SoftToken, vault: LocalVault, path: Path
) -> None:
    listing = ("secret", "list", str(path), "--ca-file", vault.ca_file)

    assert "id=%35" in _run("get", str(path), "deviceKey", "--reveal")
    assert _run(*listing)
    soft_token.switch_signing("sign-switched", on=False)
    _run(*listing, code=4)
    soft_token.switch_signing("sign-switched", on=True)

    assert _run(*listing)


def test_a_read_through_the_relay_is_one_signature(
    vault: LocalVault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = pytest.importorskip("keeper_secrets_manager_core")
    from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage

    added = _run("relay", "client", "add", str(path), "web", "--record", "alone")
    configuration = InMemoryKeyValueStorage(base64.b64decode(added).decode())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{path}.relay/ca.pem")
    official = core.SecretsManager(config=configuration)
    serve = ("relay", "serve", str(path), "--cache", "0", "--ca-file", vault.ca_file, "--json")
    with subprocess.Popen(
        [sys.executable, "-c", COUNTED, *serve], cwd=HERE, stdout=subprocess.PIPE, text=True
    ) as relay:
        assert relay.stdout is not None
        assert json.loads("".join(iter(relay.stdout.readline, "}\n")) + "}")
        try:
            titles = [official.get_secrets()[0].title for _ in range(3)]
        finally:
            relay.send_signal(signal.SIGTERM)
        counted = relay.stdout.read().split()

    assert titles == ["alone"] * 3
    assert counted == ["calls", "1", "3"], "one unwrap at the start, and a signature for each read"


def _run(*arguments: str, code: int = 0) -> str:
    # In processes of their own: a login of this one would count for the tests that follow.
    ran = subprocess.run(
        [sys.executable, "-m", "ksm_storage", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout
