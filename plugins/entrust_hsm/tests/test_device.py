"""A client device whose key is in a token: bound, used and stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault, add_sample_content, running_vault

from .soft_token import PIN, SoftToken


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        add_sample_content(running)
        yield running


def test_a_device_signs_in_the_token_and_stops_when_its_key_may_no_longer(
    soft_token: SoftToken, vault: LocalVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    listing = ("secret", "list", str(path), "--ca-file", vault.ca_file)

    assert "id=%35" in _run("get", str(path), "deviceKey", "--reveal")
    assert _run(*listing)
    soft_token.switch_signing("sign-switched", on=False)
    _run(*listing, code=4)
    soft_token.switch_signing("sign-switched", on=True)

    assert _run(*listing)


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
