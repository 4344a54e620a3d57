"""The rule for proxies and authorities, with and without the Azure client, for tokens too."""

from __future__ import annotations

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority

from ksm_storage.testing.loopback import ConnectProxy
from ksm_storage.testing.network_tests import NetworkTests, OtherAuthority, TlsService

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek

DEK = bytes(range(32))


class TestNetwork(NetworkTests):
    """The vault's own name is not known on loopback: tokens are what goes by the rule here."""

    @pytest.fixture
    def service(self, emulator: EmulatedVault) -> TlsService:
        self._emulator = emulator
        key = emulator.new_key(emulator.new_vault())
        with open_kek(key.kid, emulator.settings) as kek:
            self._wrapped = kek.wrap(DEK, aad=AAD)
        return TlsService(emulator.url.replace("localhost", "127.0.0.1"), str(emulator.ca_file))

    @pytest.fixture
    def other_authority(self) -> OtherAuthority:
        authority = PrivateAuthority()
        names = ["*.vault.azure.net"]
        return OtherAuthority(authority.server_context(names), authority.certificate_pem)

    def call(self, url: str, *, direct: bool) -> None:
        place = url.removeprefix("https://")
        settings = {**self._emulator.settings, "authority_host": place, "connect_to": place}
        del settings["ca_file"]
        with open_kek(self._wrapped.key_id, settings, direct_call=direct) as kek:
            assert kek.unwrap(self._wrapped, aad=AAD) == DEK


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "client"])
def test_the_vault_is_reached_through_the_proxy(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    key = emulator.new_key(emulator.new_vault())
    with open_kek(key.kid, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    settings = {**emulator.settings, "direct_call": direct}
    del settings["connect_to"]
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.1")

    with ConnectProxy(emulator.url) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("//", "//user:word@"))
        with open_kek(key.kid, settings) as kek:
            assert kek.unwrap(wrapped, aad=AAD) == DEK

    assert isinstance(proxy, ConnectProxy)
    host = key.kid.split("/")[2]
    assert set(proxy.asked) == {(f"{host}:443", True)}
