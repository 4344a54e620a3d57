"""A pool opens a KEK of a key service and a key file once, and other local keys for each file."""

from __future__ import annotations

import threading

import pytest

from ksm_storage.contract.key_wrapper import Aad, KeyUri, WrappedDek
from ksm_storage.errors import PluginContractError
from ksm_storage.keys.kek import Kek, KekPool

CLOUD = KeyUri("aws-kms", "k")


class Counted:
    """A key wrapper that counts how often it is closed."""

    binds_aad = True
    closed = 0

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        return WrappedDek("k", "a", b"c")

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        return bytes(32)

    def close(self) -> None:
        self.closed += 1


class Opened(list[Counted]):
    """The key wrappers that were opened, and what for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[KeyUri, object]] = []


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """List the key wrappers that are opened, for any provider."""
    wrappers = Opened()

    def open_one(uri: KeyUri, arguments: object, *, pool: KekPool | None = None) -> Kek:
        wrappers.append(Counted())
        wrappers.asked.append((uri, arguments))
        return Kek(uri, wrappers[-1], pool=pool)

    monkeypatch.setattr(Kek, "open", staticmethod(open_one))
    return wrappers


def test_a_kek_of_a_service_is_opened_once_and_closed_with_the_pool(opened: Opened) -> None:
    with KekPool() as pool:
        for _ in range(3):
            with pool.open(CLOUD):
                pass
        assert [wrapper.closed for wrapper in opened] == [0]

    assert [wrapper.closed for wrapper in opened] == [1]


def test_a_local_key_is_opened_for_each_file(opened: Opened) -> None:
    with KekPool() as pool:
        for _ in range(2):
            with pool.open(KeyUri("os-keyring", "default")):
                pass

    assert [wrapper.closed for wrapper in opened] == [1, 1]


def test_a_key_file_is_opened_once_because_it_is_read_at_each_use(opened: Opened) -> None:
    with KekPool() as pool:
        for _ in range(2):
            with pool.open(KeyUri("key-file", "/k")):
                pass

    assert len(opened) == 1


def test_threads_share_one(opened: Opened) -> None:
    with KekPool() as pool:
        threads = [threading.Thread(target=pool.open, args=(CLOUD,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(opened) == 1


def test_a_kek_is_opened_under_its_own_name_with_the_settings_given(opened: Opened) -> None:
    settings = {"aws-kms": {"region": "eu-west-1"}}
    names = [CLOUD, KeyUri("aws-kms", "l"), KeyUri("key-file", "/k")]

    with KekPool(settings) as pool:
        assert [pool.open(name).uri for name in names] == names

    assert opened.asked == [(name, settings) for name in names]


def test_all_are_closed_even_if_one_cannot_be(opened: Opened) -> None:
    def broken() -> None:
        raise ValueError("secret")

    pool = KekPool()
    for name in ("k", "l", "m"):
        pool.open(KeyUri("aws-kms", name))
    opened[1].close = broken  # type: ignore[method-assign]

    with pytest.raises(PluginContractError):
        pool.__exit__(None, None, None)

    assert [opened[0].closed, opened[2].closed] == [1, 1]
