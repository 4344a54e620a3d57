"""A filled vault, shared by the tests of a module, and an environment without the developer's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ksm_storage_local_vault.testing import (
    LocalVault,
    SampleContent,
    add_sample_content,
    running_vault,
)


@pytest.fixture(autouse=True, scope="session")
def private_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the session a home of its own, without settings of the developer."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("KSM_", "XDG_"))]:
            patch.delenv(name)
        for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
            patch.setenv(name, str(home))
        patch.setenv("NO_PROXY", "localhost,127.0.0.1,::1")
        yield


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    """Run a vault for the module; tests that change the server's manners use `own_vault`."""
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        yield running


@pytest.fixture(scope="module")
def filled(vault: LocalVault) -> SampleContent:
    """Fill the module's vault."""
    return add_sample_content(vault)


@pytest.fixture
def own_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    """Run a filled vault for one test."""
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        add_sample_content(running)
        yield running
