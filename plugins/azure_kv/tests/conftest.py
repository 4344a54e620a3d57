"""Servers on loopback, and an environment without anything of the developer's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from azure.keyvault.keys._shared import http_challenge_cache

from .callers import Caller
from .emulated_vault import EmulatedVault, running_emulator
from .scripted_vault import ScriptedVault, running_script


@pytest.fixture(autouse=True)
def _isolated(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        monkeypatch.delenv(name)
    # The client remembers for the whole process where a vault's tokens come from; which requests a
    # test sees would depend on the tests before it.
    http_challenge_cache.clear()


@pytest.fixture(scope="session")
def _running_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedVault]:
    with running_emulator(tmp_path_factory.mktemp("vault")) as vault:
        yield vault


@pytest.fixture
def emulator(_running_emulator: EmulatedVault) -> Iterator[EmulatedVault]:
    """Run the strict emulator; faults end with the test."""
    _running_emulator.emulator.reset()
    yield _running_emulator
    _running_emulator.emulator.reset()


@pytest.fixture(scope="session")
def _running_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedVault]:
    with running_script(tmp_path_factory.mktemp("script")) as vault:
        yield vault


@pytest.fixture
def scripted(_running_script: ScriptedVault) -> ScriptedVault:
    """Run a vault that answers key operations with what a test tells it to."""
    _running_script.forget()
    return _running_script


@pytest.fixture
def caller(emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Return somebody who may use one key."""
    # Nobody answers where a machine in Azure would ask for its identity.
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("PATH", "/nowhere")
    return Caller(emulator)
