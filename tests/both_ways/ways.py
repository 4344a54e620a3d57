"""The four ways: each client over each storage, behind one set of names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager as OfficialManager
from keeper_secrets_manager_core.dto import dtos, payload
from keeper_secrets_manager_core.exceptions import KeeperError
from keeper_secrets_manager_core.storage import FileKeyValueStorage
from ksm_storage_local_vault.testing import LocalVault

import ksm_storage
from ksm_storage import engine

# What each client calls the same refusal.
REFUSALS: dict[str, tuple[type[Exception], str]] = {
    "revoked": (engine.ClientRevokedError, "Client device is revoked"),
    "redeemed": (engine.TokenRedeemedError, "One-time token is already redeemed"),
    "stale": (engine.StaleRevisionError, "out_of_sync"),
    "read-only": (engine.ServerRefusedError, "Application may not edit"),
    "access over": (engine.AccessExpiredError, "Client device access is expired"),
}


@dataclass(frozen=True)
class Client:
    """Hold one client library: how it connects, its classes, and how it says no."""

    name: str
    kit: Any
    refused: Callable[[str], AbstractContextManager[Any]]

    def connect(self, vault: LocalVault, config: Any, *, token: str | None = None) -> Any:
        """Return the library's SecretsManager over a storage."""
        return self.kit.SecretsManager(
            token=token,
            hostname=vault.address,
            config=config,
            server_public_key=vault.server_public_key,
            server_public_key_id=vault.server_public_key_id,
        )


@dataclass(frozen=True)
class Way:
    """Hold one client with one kind of storage; its file is in a folder of the test."""

    client: Client
    storage_name: str
    path: Path
    key: str

    def open_config(self) -> Any:
        """Open the storage anew, as another start of the program would."""
        if self.storage_name == "sealed":
            return ksm_storage.open_storage(self.path, keys=[self.key])
        return FileKeyValueStorage(str(self.path))

    def connect(self, vault: LocalVault, *, token: str | None = None) -> Any:
        """Return a client over the storage, opened anew."""
        return self.client.connect(vault, self.open_config(), token=token)

    def refused_at_bind(self, word: str) -> AbstractContextManager[Any]:
        """Expect a refusal of the first call, in the words of this way."""
        if self.client is OFFICIAL and self.storage_name == "official-file":
            # This client removes its own kind of file at any failure, and says no more than that.
            return pytest.raises(KeeperError, match="Initialization failed")
        return self.client.refused(word)


def results_of(delete: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Return what the server answers for each object of a deletion; the engine raises it."""
    try:
        return delete(*arguments, **keywords)
    except engine.DeletionRefusedError as exc:
        return exc.results


def _engine_refuses(word: str) -> AbstractContextManager[Any]:
    return pytest.raises(REFUSALS[word][0])


def _official_refuses(word: str) -> AbstractContextManager[Any]:
    return pytest.raises(KeeperError, match=REFUSALS[word][1])


ENGINE = Client("engine", engine, _engine_refuses)
OFFICIAL = Client(
    "official",
    SimpleNamespace(
        SecretsManager=OfficialManager,
        RecordCreate=dtos.RecordCreate,
        RecordField=dtos.RecordField,
        KeeperFileUpload=dtos.KeeperFileUpload,
        CreateOptions=payload.CreateOptions,
        QueryOptions=payload.QueryOptions,
    ),
    _official_refuses,
)
CLIENTS = {client.name: client for client in (ENGINE, OFFICIAL)}
STORAGES = ("sealed", "official-file")
