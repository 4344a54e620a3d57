"""The rule for proxies and authorities, with and without the Azure client, for tokens too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ksm_storage.testing.network_tests import Ipv6AddressTests, TlsService

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek

if TYPE_CHECKING:
    from ksm_storage.testing.proxies import Proxies

pytest_plugins = ["ksm_storage.testing.proxies"]

DEK = bytes(range(32))


class TestNetwork(Ipv6AddressTests):
    """The vault's own name is not known on loopback: tokens are what goes by the rule here."""

    @pytest.fixture
    def service(self, emulator: EmulatedVault) -> TlsService:
        self._emulator = emulator
        key = emulator.new_key(emulator.new_vault())
        with open_kek(key.kid, emulator.settings) as kek:
            self._wrapped = kek.wrap(DEK, aad=AAD)
        return TlsService(emulator.url.replace("localhost", "127.0.0.1"), str(emulator.ca_file))

    def call(self, url: str, *, direct: bool) -> None:
        place = url.removeprefix("https://")
        settings = {**self._emulator.settings, "authority_host": place, "connect_to": place}
        del settings["ca_file"]
        with open_kek(self._wrapped.key_id, settings, direct_call=direct) as kek:
            assert kek.unwrap(self._wrapped, aad=AAD) == DEK


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "client"])
def test_the_vault_is_reached_through_the_proxy(
    emulator: EmulatedVault, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    key = emulator.new_key(emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    settings = {**emulator.settings, "direct_call": direct}
    del settings["connect_to"]
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.1")

    monkeypatch.setenv("ALL_PROXY", proxies.http.url)
    host = key.kid.split("/")[2]
    proxies.http.send(host, ("127.0.0.1", int(emulator.url.rpartition(":")[2])))

    with open_kek(key.kid, settings) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK

    assert set(proxies.http.asked) == {f"{host}:443"}
