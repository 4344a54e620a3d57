"""A client device whose key is in a token: bound and used through the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault, add_sample_content, running_vault

from ksm_storage import open_storage
from ksm_storage.cli.main import main
from ksm_storage.engine import SecretsManager
from ksm_storage.errors import KsmStorageError

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
    code = main(
        [
            *("init", str(path), "--key", "pkcs11:token=ksm;object=one"),
            *("--device-key", "pkcs11:token=ksm;object=sign-switched"),
            *("--hostname", vault.address, "--ca-file", vault.ca_file),
            *("--server-key", vault.server_public_key),
            *("--server-key-id", vault.server_public_key_id),
        ]
    )
    assert code == 0

    storage = open_storage(path)
    manager = SecretsManager(config=storage, ca_file=vault.ca_file)
    assert list(manager.get_secrets())
    assert "id=%35" in str(storage.get("deviceKey"))
    soft_token.switch_signing("sign-switched", on=False)
    with pytest.raises(KsmStorageError):
        manager.get_secrets()
    soft_token.switch_signing("sign-switched", on=True)

    assert list(manager.get_secrets())
