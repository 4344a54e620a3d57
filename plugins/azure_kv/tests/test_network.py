"""The rule for proxies and authorities, with and without the Azure client, for tokens too."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority

from ksm_storage.errors import ProviderError
from ksm_storage.network import CA_VARIABLES, PROXY_VARIABLES
from ksm_storage.testing.loopback import ConnectProxy, Relay
from ksm_storage.testing.network_tests import Ipv6AddressTests, TlsService, rehashed_folder

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


class NamedVault:
    """Unwrap at a vault by its own name; tokens come from the emulator without a proxy."""

    def __init__(self, emulator: EmulatedVault, *, direct: bool) -> None:
        key = emulator.new_key(emulator.new_vault())
        with open_kek(key.kid, emulator.settings) as kek:
            self._wrapped = kek.wrap(DEK, aad=AAD)
        self._settings = {**emulator.settings, "direct_call": direct}
        for name in ("connect_to", "ca_file"):
            del self._settings[name]
        self.host = key.kid.split("/")[2]
        self.port = int(emulator.url.rpartition(":")[2])
        self.ca_file = Path(emulator.ca_file)

    def __call__(self) -> None:
        with open_kek(self._wrapped.key_id, self._settings) as kek:
            assert kek.unwrap(self._wrapped, aad=AAD) == DEK

    def resolve_to(self, monkeypatch: pytest.MonkeyPatch, host: str, port: int) -> None:
        """Have its name lead to a port of this machine."""
        resolve = socket.getaddrinfo

        def resolved(asked: Any, *rest: Any, **named: Any) -> Any:
            if asked not in (self.host, self.host.encode()):
                return resolve(asked, *rest, **named)
            return resolve(host, port, *rest[1:], **named)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.fixture(params=[True, False], ids=["direct", "client"])
def vault(
    emulator: EmulatedVault, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> NamedVault:
    made = NamedVault(emulator, direct=request.param)
    for name in ("no_proxy", *PROXY_VARIABLES, *CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca_file))
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.1,localhost")
    return made


@pytest.mark.parametrize("variable", PROXY_VARIABLES)
def test_the_vault_is_reached_through_the_proxy(
    vault: NamedVault, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, proxies.http.url)
    proxies.http.send(vault.host, ("127.0.0.1", vault.port))

    vault()

    assert set(proxies.http.asked) == {f"{vault.host}:443"}


def test_the_vault_is_reached_through_a_proxy_over_tls(
    vault: NamedVault, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(vault.ca_file.read_bytes() + proxies.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    monkeypatch.setenv("HTTPS_PROXY", proxies.https.url)
    proxies.https.send(vault.host, ("127.0.0.1", vault.port))

    vault()

    assert set(proxies.https.asked) == {f"{vault.host}:443"}


@pytest.mark.parametrize("exceptions", [".vault.azure.net", "VAULT.azure.net:443", "{host}"])
def test_a_vault_that_is_excepted_from_the_proxy_is_reached_without(
    vault: NamedVault, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, exceptions: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)
    monkeypatch.setenv("NO_PROXY", f"localhost,127.0.0.1,{exceptions.format(host=vault.host)}")
    vault.resolve_to(monkeypatch, "127.0.0.1", vault.port)

    vault()

    assert proxies.http.asked == []


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_the_vault_is_trusted_by_the_authorities_of_the_environment(
    vault: NamedVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv(variable, rehashed_folder(tmp_path, vault.ca_file))
    vault.resolve_to(monkeypatch, "127.0.0.1", vault.port)

    vault()


def test_a_vault_without_ipv4_is_reached(
    vault: NamedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(f"https://127.0.0.1:{vault.port}", host="::1") as relay:
        vault.resolve_to(monkeypatch, "::1", int(relay.url.rpartition(":")[2]))
        vault()

    assert relay.connections


def test_a_vault_behind_a_proxy_that_inspects_tls_needs_its_authority(
    vault: NamedVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_proxy, both = PrivateAuthority(), tmp_path / "both.pem"
    both.write_bytes(vault.ca_file.read_bytes() + of_proxy.certificate_pem)
    context = of_proxy.server_context([vault.host])
    proxy = ConnectProxy(f"https://127.0.0.1:{vault.port}", inspecting=context)
    with proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ProviderError, match="is not trusted"):
            vault()
        monkeypatch.setenv("SSL_CERT_FILE", str(both))
        vault()

    assert {asked for asked, _ in proxy.asked} == {f"{vault.host}:443"}
