"""A KEK of a key service is opened once for many files; a local key for each."""

from __future__ import annotations

import threading

import pytest

from ksm_storage.contract.aad import Aad
from ksm_storage.contract.key_uri import KeyUri
from ksm_storage.contract.key_wrapper import WrappedDek
from ksm_storage.keys import kek as seam
from ksm_storage.keys.kek import Kek, SharedKeks


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


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """List the key wrappers that are opened, for any provider."""
    wrappers: list[Counted] = []

    def open_one(uri: KeyUri, arguments: object) -> Kek:
        wrappers.append(Counted())
        return Kek(uri, wrappers[-1])

    monkeypatch.setattr(seam.Kek, "_opened", staticmethod(open_one))
    return wrappers


def test_a_kek_of_a_service_is_opened_once_and_closed_at_the_end(opened: list[Counted]) -> None:
    with SharedKeks() as shared:
        for _ in range(3):
            with Kek.open(KeyUri("aws-kms", "k"), shared):
                pass
        assert [wrapper.closed for wrapper in opened] == [0]

    assert [wrapper.closed for wrapper in opened] == [1]


def test_a_local_key_is_opened_for_each_file(opened: list[Counted]) -> None:
    with SharedKeks() as shared:
        for _ in range(2):
            with Kek.open(KeyUri("key-file", "/k"), shared):
                pass

    assert [wrapper.closed for wrapper in opened] == [1, 1]


def test_threads_share_one(opened: list[Counted]) -> None:
    with SharedKeks() as shared:
        threads = [
            threading.Thread(target=Kek.open, args=(KeyUri("aws-kms", "k"), shared))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(opened) == 1


def test_the_settings_are_those_that_were_given() -> None:
    assert dict(SharedKeks({"aws-kms": {"region": "eu-west-1"}})) == {
        "aws-kms": {"region": "eu-west-1"}
    }


def test_a_kek_is_opened_under_its_own_name_with_those_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[KeyUri, object]] = []

    def open_one(uri: KeyUri, arguments: object) -> Kek:
        asked.append((uri, arguments))
        return Kek(uri, Counted())

    monkeypatch.setattr(seam.Kek, "_opened", staticmethod(open_one))
    settings = {"aws-kms": {"region": "eu-west-1"}}
    names = [KeyUri("aws-kms", "k"), KeyUri("aws-kms", "l")]

    with SharedKeks(settings) as shared:
        assert [Kek.open(name, shared).uri for name in names] == names

    assert asked == [(name, settings) for name in names]
