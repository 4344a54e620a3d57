"""The fixtures that these tests share with the ones of the storage, and their servers."""

from __future__ import annotations

import pytest

from tests.interop.keeper_server import KeeperServer
from tests.unit.storage.fixtures import folder, key, sealed, shared_folder
from tests.unit.storage.planted import counted

__all__ = ["counted", "folder", "keeper", "key", "sealed", "shared_folder"]


@pytest.fixture
def keeper() -> KeeperServer:
    """Give a Keeper server with one token that was not used yet."""
    return KeeperServer()
