"""A filled vault for the module, and each of the four ways with a device that has bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.testing import (
    LocalVault,
    SampleContent,
    add_sample_content,
    running_vault,
)

from tests.both_ways.ways import CLIENTS, STORAGES, Way
from tests.unit.storage.fixtures import new_key

FOUR_WAYS = [(client, storage) for client in CLIENTS for storage in STORAGES]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        yield vault


@pytest.fixture(scope="module")
def filled(running: LocalVault) -> SampleContent:
    return add_sample_content(running)


@pytest.fixture
def vault(
    running: LocalVault, filled: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> LocalVault:
    """Give the module's vault to clients that trust its certificate authority."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", running.ca_file)
    return running


@pytest.fixture(params=FOUR_WAYS, ids=lambda pair: "-over-".join(pair))
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    client, storage = request.param
    return Way(CLIENTS[client], storage, tmp_path / "client-config.json", new_key(tmp_path / "k"))


@pytest.fixture
def device(way: Way, vault: LocalVault) -> Any:
    """Bind a device this way."""
    manager = way.connect(vault, token=vault.new_client().token)
    manager.get_secrets()
    return manager
