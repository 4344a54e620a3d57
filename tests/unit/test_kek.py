"""The checked seam passes on what is right; what is wrong is tested in ``tests/seam``."""

from __future__ import annotations

import os

import pytest

from ksm_storage.contract.key_wrapper import Aad, KeyUri
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    PluginContractError,
    PluginError,
    PluginNotFoundError,
    ProviderError,
    SettingsError,
)
from ksm_storage.keys.kek import Kek
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
        kek.unwrap(wrapped._replace(key_id="two"), aad=AAD)

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


class OfficialKek(MemoryKek):
    """Decrypt the official format as the test says."""

    def __init__(self, plain: object) -> None:
        super().__init__("one")
        self.plain = plain
        self.asked: list[bytes] = []

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        self.asked.append(ciphertext)
        if isinstance(self.plain, Exception):
            raise self.plain
        return self.plain  # type: ignore[return-value]  # whatever was planted


def test_what_an_official_package_encrypted_comes_back() -> None:
    wrapper = OfficialKek(b"plain")

    assert Kek(URI, wrapper).decrypt_official(b"sealed") == b"plain"
    assert wrapper.asked == [b"sealed"]


def test_a_plugin_that_cannot_read_the_official_format_says_so() -> None:
    with pytest.raises(PluginError) as caught:
        Kek(URI, MemoryKek("one")).decrypt_official(b"sealed")

    error = caught.value
    assert error.message == "the plugin for 'memory' cannot open a Keeper package's files"
    assert error.hint
    assert "--from-key URI" in error.hint
    assert (error.provider, error.key) == ("memory", "memory://one")


def test_an_error_of_the_official_format_is_completed() -> None:
    with pytest.raises(DecryptionError) as caught:
        Kek(URI, OfficialKek(DecryptionError("another key"))).decrypt_official(b"sealed")

    assert (caught.value.key, caught.value.operation) == ("memory://one", "decrypt")


@pytest.mark.parametrize("plain", ["text", None, bytearray(1)], ids=["text", "none", "bytearray"])
def test_an_official_plain_text_that_is_no_bytes_is_the_plugins_fault(plain: object) -> None:
    with pytest.raises(PluginContractError, match="'memory' did not return bytes") as caught:
        Kek(URI, OfficialKek(plain)).decrypt_official(b"sealed")

    assert caught.value.operation == "decrypt"
