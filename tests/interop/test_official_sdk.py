"""The official SDK, unchanged, binds and fetches over our storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager
from keeper_secrets_manager_core.storage import FileKeyValueStorage

import ksm_storage
from ksm_storage.errors import StorageError
from tests.interop.keeper_server import SECRET, KeeperServer
from tests.unit.storage import forked
from tests.unit.storage.fixtures import names_in
from tests.unit.storage.planted import Counted


def bind(config: Any, keeper: KeeperServer) -> SecretsManager:
    """Return the SDK's client with a token that was not used yet."""
    return SecretsManager(
        token=keeper.token,
        config=config,
        custom_post_function=keeper.post,
        server_public_key=keeper.public_key,
        server_public_key_id=keeper.key_id,
    )


def fetched(config: Any, keeper: KeeperServer) -> str:
    """Return what a bound device sees."""
    client = SecretsManager(config=config, custom_post_function=keeper.post)
    return str(client.get_secrets()[0].field("password", single=True))


def test_it_binds_and_fetches(folder: Path, key: str, keeper: KeeperServer) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=[key])

    records = bind(storage, keeper).get_secrets()

    assert records[0].field("password", single=True) == SECRET
    assert names_in(folder) == ["config"]
    assert not storage.contains("clientKey")
    assert {"appKey", "clientId", "privateKey", "appOwnerPublicKey"} <= set(storage.read_storage())


def test_another_process_that_names_no_key_fetches_again(
    folder: Path, key: str, keeper: KeeperServer
) -> None:
    bind(ksm_storage.open_storage(folder / "config", keys=[key]), keeper).get_secrets()

    def work() -> None:
        assert fetched(ksm_storage.open_storage(folder / "config"), keeper) == SECRET

    assert forked.run(work) == 0


def test_it_survives_another_server_key_and_remembers_it(
    folder: Path, key: str, keeper: KeeperServer
) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=[key])
    bind(storage, keeper).get_secrets()
    keeper.key_id = "21"
    keeper.requests.clear()

    assert fetched(storage, keeper) == SECRET
    assert keeper.requests == ["20", "21"]

    assert fetched(ksm_storage.open_storage(folder / "config"), keeper) == SECRET
    assert keeper.requests == ["20", "21", "21"]


def test_a_first_bind_and_fetch_call_the_key_service_to_create_the_file_only(
    folder: Path, keeper: KeeperServer, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=["counted://one"])

    bind(storage, keeper).get_secrets()

    assert counted.calls == [("wrap", "one"), ("unwrap", "one")]


def test_it_binds_within_a_batch(folder: Path, key: str, keeper: KeeperServer) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=[key])

    with storage.batch():
        bind(storage, keeper).get_secrets()

    assert "revision 1," in repr(storage)
    assert fetched(ksm_storage.open_storage(folder / "config"), keeper) == SECRET


def test_no_plain_value_is_on_disk(folder: Path, key: str, keeper: KeeperServer) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=[key])

    bind(storage, keeper).get_secrets()

    raw = (folder / "config").read_bytes()
    values = [value for value in storage.read_storage().values() if len(value) > 2]
    assert [value for value in values if value.encode() in raw] == []


def test_a_plain_file_of_the_sdk_is_taken_over(
    folder: Path, key: str, keeper: KeeperServer
) -> None:
    path = folder / "client-config.json"
    bind(FileKeyValueStorage(str(path)), keeper).get_secrets()

    assert fetched(ksm_storage.open_storage(path, keys=[key]), keeper) == SECRET
    assert names_in(folder) == ["client-config.json"]


def test_an_unwritable_place_is_found_before_the_token_is_spent(
    folder: Path, key: str, keeper: KeeperServer
) -> None:
    with pytest.raises(StorageError):
        bind(ksm_storage.open_storage(folder / "missing/config", keys=[key]), keeper).get_secrets()

    assert keeper.requests == []


@pytest.mark.parametrize(
    "use",
    [
        lambda storage: storage.read_storage(),
        lambda storage: storage.get("hostname"),
        lambda storage: storage.set("hostname", "h"),
        lambda storage: storage.delete("hostname"),
        lambda storage: storage.delete_all(),
        lambda storage: SecretsManager(config=storage),
        lambda storage: SecretsManager(config=storage, token="US:abc"),
    ],
    ids=["read", "get", "set", "delete", "delete_all", "bound", "token"],
)
def test_the_official_file_storage_refuses_our_file_and_leaves_it(
    use: Callable[[Any], object], sealed: Path, folder: Path
) -> None:
    before = sealed.read_bytes()

    with pytest.raises(Exception, match=r"JSON format problems|not utf-8|Expecting value"):
        use(FileKeyValueStorage(str(sealed)))

    assert sealed.read_bytes() == before
    assert names_in(folder) == ["client-config.json"]
