"""No fault of a key service spends a one-time token in vain, and none spends it twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_local_vault.client_row import all_clients
from ksm_storage_local_vault.owner.access import NewClient, create_application
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, running_vault

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.engine import SecretsManager
from tests.key_service_faults.outcomes import FOUR, UNWRAP, WRAP, faults_at, outcome_of
from tests.key_service_faults.scene import Scene
from tests.key_service_faults.service import FaultyService

WRAPPED = sorted(faults_at(WRAP))
SERVICES = [*FOUR, "pkcs11"]


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        with running.owner() as owner:
            create_application(owner, APP_NAME)
        yield running


def init(vault: LocalVault, token: str, path: Path, *options: str) -> int:
    """Run the command and return its exit code."""
    named = ["--hostname", vault.address, "--ca-file", vault.ca_file]
    named += ["--server-key-id", vault.server_public_key_id]
    named += ["--server-key", vault.server_public_key]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KSM_TOKEN", token)
        return main(["init", str(path), *options, *named])


def is_spent(vault: LocalVault, client: NewClient) -> bool:
    """Ask the server's database whether a device has bound with the token."""
    with vault.owner() as owner, owner.write() as (connection, _keyring):
        rows = {row.client_id: row for row in all_clients(connection)}
    return rows[client.client_id].bound_at is not None


def works(vault: LocalVault, path: Path) -> bool:
    """Tell whether the server knows the key that the file holds."""
    storage = ksm_storage.open_storage(path)
    SecretsManager(config=storage, ca_file=vault.ca_file).get_secrets()
    return storage.contains("appKey")


@pytest.mark.parametrize(("running", "fault"), WRAPPED, indirect=["running"])
def test_a_token_is_not_spent_where_the_new_file_cannot_be_sealed(
    vault: LocalVault, scene: Scene, fault: str
) -> None:
    client = vault.new_client()
    key = scene.service.keys[0]
    scene.service.strike(fault, WRAP)

    code = init(vault, client.token, scene.new, "--key", key)

    kind = outcome_of(scene.service.provider, fault).wrap
    assert kind is not None
    assert code == kind.exit_code
    assert not os.path.lexists(scene.new)
    assert not is_spent(vault, client)

    scene.service.heal()
    assert init(vault, client.token, scene.new, "--key", key) == 0
    assert works(vault, scene.new)


@pytest.mark.parametrize("running", SERVICES, indirect=True)
def test_a_bind_that_was_begun_is_ended_with_the_same_token(
    vault: LocalVault, scene: Scene, service: FaultyService
) -> None:
    client = vault.new_client()
    half = ksm_storage.open_storage(scene.new, keys=service.keys[:1])
    with half.batch():
        SecretsManager(
            client.token,
            vault.address,
            config=half,
            server_public_key=vault.server_public_key,
            server_public_key_id=vault.server_public_key_id,
            ca_file=vault.ca_file,
        )
    before = scene.new.read_bytes()
    service.strike("device error" if service.keys[0].startswith("pkcs11") else "503", UNWRAP)

    assert init(vault, client.token, scene.new) != 0
    assert scene.new.read_bytes() == before
    assert not is_spent(vault, client)

    service.heal()
    assert init(vault, client.token, scene.new) == 0
    assert works(vault, scene.new)


@pytest.mark.parametrize("running", SERVICES, indirect=True)
def test_once_the_file_is_sealed_a_bind_needs_no_key_service(
    vault: LocalVault, scene: Scene, service: FaultyService
) -> None:
    client = vault.new_client()
    storage = ksm_storage.open_storage(scene.new, keys=service.keys[:1])
    service.strike("device error" if service.keys[0].startswith("pkcs11") else "503", None, times=1)

    SecretsManager(
        client.token,
        vault.address,
        config=storage,
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
        ca_file=vault.ca_file,
    ).bind()

    assert not service.was_struck()
    service.heal()
    assert is_spent(vault, client)
    assert works(vault, scene.new)
