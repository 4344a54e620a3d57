"""Servers on loopback, and an environment without anything of the developer's."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.oci_vault.identities import Grant, write_config
from ksm_storage_emulators.oci_vault.service import OciVaultService

from .emulated_vault import EmulatedVault
from .scripted_vault import ScriptedVault, scripted_vault


@pytest.fixture(autouse=True)
def _isolated(
    clean_environment: None, parsed_private_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module", autouse=True)
def _connections_closed() -> Iterator[None]:
    """End what Oracle's client left open when it failed: it is in cycles, with the tracebacks."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def _running_emulator() -> Iterator[EmulatedVault]:
    with Emulator(OciVaultService()) as emulator:
        yield EmulatedVault(emulator)


@pytest.fixture(scope="session")
def _config_file(
    _running_emulator: EmulatedVault, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    service = _running_emulator.service
    directory = tmp_path_factory.mktemp("oci")
    return write_config(directory, service.administrator, tenancy=service.identities.tenancy)


@pytest.fixture
def config_file(_config_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let Oracle's client find the administrator's configuration file."""
    monkeypatch.setenv("OCI_CONFIG_FILE", str(_config_file))
    return _config_file


@pytest.fixture
def emulator(_running_emulator: EmulatedVault, config_file: Path) -> Iterator[EmulatedVault]:
    """Run the strict emulator, its administrator being the caller; faults end with the test."""
    _running_emulator.emulator.reset()
    yield _running_emulator
    _running_emulator.emulator.reset()


@pytest.fixture
def scripted(config_file: Path) -> Iterator[ScriptedVault]:
    """Run a server that answers what a test tells it to."""
    with scripted_vault() as server:
        yield server


@pytest.fixture
def instance(emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Run as an instance, and return the settings for it."""
    emulator.service.instances.start([Grant("*")])
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{emulator.url}/opc/v2")
    return {"credential": "instance-principal", "federation_endpoint": f"{emulator.url}/v1/x509"}
