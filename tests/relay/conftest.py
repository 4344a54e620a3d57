"""A filled vault, a sealed device of it, and a relay over that device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.testing import (
    LocalVault,
    SampleContent,
    add_sample_content,
    running_vault,
)

from tests.relay.relay import Relay, bind_device
from tests.unit.storage.fixtures import new_key

MakeRelay = Callable[..., Relay]


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    """Run a vault for the module; it is Keeper here."""
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        yield running


@pytest.fixture(scope="module")
def content(vault: LocalVault) -> SampleContent:
    return add_sample_content(vault)


@pytest.fixture(scope="module")
def sealed(
    vault: LocalVault, content: SampleContent, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Bind a device into a sealed file."""
    folder = tmp_path_factory.mktemp("device")
    path = folder / "client-config.json"
    bind_device(vault, path, new_key(folder / "k"))
    return path


@pytest.fixture(scope="module")
def relay(vault: LocalVault, sealed: Path) -> Iterator[Relay]:
    """Run a relay for the module; every read asks the vault anew."""
    running = Relay(sealed, sealed.with_suffix(".relay"), vault, cache_seconds=0)
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def make_relay(vault: LocalVault, sealed: Path, tmp_path: Path) -> Iterator[MakeRelay]:
    """Return a function that starts a relay for this test."""
    made: list[Relay] = []

    def make(name: str = "relay", **options: Any) -> Relay:
        started = Relay(sealed, tmp_path / name, vault, **options)
        started.start()
        made.append(started)
        return started

    yield make
    for running in made:
        running.stop()
