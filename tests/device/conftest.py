"""One local vault with two applications, and the command line against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.testing import (
    APP_NAME,
    LocalVault,
    add_sample_content,
    running_vault,
)

from ksm_storage.cli.main import main
from tests.cli.command import key_file
from tests.device.signing_service import signing

__all__ = ["signing"]

OTHER_APP = "another application"

Init = Callable[..., int]


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as running:
        add_sample_content(running)
        with running.owner() as owner:
            create_application(owner, OTHER_APP)
        yield running


@pytest.fixture
def server(vault: LocalVault) -> Sequence[str]:
    """Return the options that name the vault."""
    key, key_id = vault.server_public_key, vault.server_public_key_id
    return (
        *("--hostname", vault.address, "--ca-file", vault.ca_file),
        *("--server-key-id", key_id, "--server-key", key),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.json"


@pytest.fixture
def init(
    vault: LocalVault,
    server: Sequence[str],
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Init:
    """Return what binds a device into ``path``, with the token that is given or a new one."""

    def run(*options: str, token: str | None = None) -> int:
        monkeypatch.setenv("KSM_TOKEN", token or vault.new_client().token)
        code = main(["init", str(path), "--key", key_file(tmp_path), *server, *options])
        monkeypatch.delenv("KSM_TOKEN")
        return code

    return run


@pytest.fixture
def rotate(vault: LocalVault, path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return what rotates the device in ``path``, with the token that is given or a new one."""

    def run(*options: str, token: str | None = None) -> int:
        monkeypatch.setenv("KSM_TOKEN", token or vault.new_client(app=APP_NAME).token)
        code = main(["device", "rotate", str(path), "--ca-file", vault.ca_file, *options])
        monkeypatch.delenv("KSM_TOKEN")
        return code

    return run
