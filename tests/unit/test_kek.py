"""The checked seam passes on what is right; what is wrong is tested in ``tests/seam``."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from ksm_storage.aad import Aad
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    PluginNotFoundError,
    ProviderError,
    SettingsError,
)
from ksm_storage.kek import Kek
from ksm_storage.key_uri import KeyUri
from ksm_storage.testing.memory_kek import MemoryKek, MemoryKeyService

URI = KeyUri("memory", "one")
AAD = Aad({"env": "test"})
DEK = os.urandom(32)


def test_a_wrapped_dek_comes_back() -> None:
    kek = Kek(URI, MemoryKek("one"))

    assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_it_says_whether_the_service_binds_the_aad() -> None:
    assert Kek(URI, MemoryKek("one")).binds_aad is True


def test_each_operation_is_one_call() -> None:
    wrapper = MemoryKek("one")
    kek = Kek(URI, wrapper)

    kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD)

    assert wrapper.service.calls == 2


def test_an_alias_may_wrap_under_the_name_that_it_stands_for() -> None:
    service = MemoryKeyService("one")
    service.aliases["alias"] = "one"

    assert Kek(URI, MemoryKek("alias", service)).wrap(DEK, aad=AAD).key_id == "one"


def test_a_plugins_error_keeps_what_it_said_and_gets_what_it_left_out() -> None:
    wrapper = MemoryKek("one")
    kek = Kek(URI, wrapper)
    wrapped = kek.wrap(DEK, aad=AAD)

    with pytest.raises(DecryptionError) as caught:
        kek.unwrap(replace(wrapped, key_id="two"), aad=AAD)

    error = caught.value
    assert (error.provider, error.key, error.operation) == ("memory", "memory://one", "unwrap")


@pytest.mark.parametrize(
    ("code", "kind"), [("NotFound", KeyNotFoundError), ("Nonsense", ProviderError)]
)
def test_a_documented_error_passes_as_it_is(code: str, kind: type[ProviderError]) -> None:
    wrapper = MemoryKek("one")
    wrapper.service.failing_with = code

    with pytest.raises(ProviderError) as caught:
        Kek(URI, wrapper).wrap(DEK, aad=AAD)

    assert type(caught.value) is kind


def test_opening_without_a_plugin_is_an_error() -> None:
    with pytest.raises(PluginNotFoundError):
        Kek.open(KeyUri("no-such-provider", "one"))


def test_opening_with_an_unknown_setting_is_an_error() -> None:
    uri = KeyUri("key-file", "/etc/app.key")

    with pytest.raises(SettingsError, match="'colour'"):
        Kek.open(uri, {"key-file": {"colour": "red"}})


def test_an_error_at_opening_names_the_key() -> None:
    with pytest.raises(SettingsError) as caught:
        Kek.open(KeyUri("key-file", "relative"))

    assert (caught.value.key, caught.value.operation) == ("key-file://relative", "open")


def test_leaving_the_block_closes_the_key_wrapper() -> None:
    class Closing(MemoryKek):
        closed = False

        def close(self) -> None:
            self.closed = True

    wrapper = Closing("one")

    with Kek(URI, wrapper) as kek:
        assert kek.wrap(DEK, aad=AAD).key_id == "one"

    assert wrapper.closed


def test_a_repr_shows_the_uri_and_nothing_else() -> None:
    assert repr(Kek(URI, MemoryKek("one"))) == "<Kek memory://one>"
