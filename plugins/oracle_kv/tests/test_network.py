"""The rule for proxies and authorities, with and without Oracle's client, for tokens too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.oci_vault.identities import Grant, write_config
from ksm_storage_emulators.oci_vault.service import OciVaultService

from ksm_storage.errors import SettingsError
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.loopback import Relay
from ksm_storage.testing.network_tests import (
    NetworkTests,
    TlsService,
    rehashed_folder,
)

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import KEY

if TYPE_CHECKING:
    from ksm_storage.testing.proxies import Proxies

pytest_plugins = ["ksm_storage.testing.proxies"]

DEK = bytes(range(32))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmulatedVault, Path, Path]]:
    folder = tmp_path_factory.mktemp("oci")
    ca_file = folder / "ca.pem"
    with Emulator(OciVaultService(), authority=PrivateAuthority(), ca_file=ca_file) as emulator:
        service = emulator.service
        config = write_config(folder, service.administrator, tenancy=service.identities.tenancy)
        yield EmulatedVault(emulator), ca_file, config


@pytest.fixture
def vault(
    running: tuple[EmulatedVault, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> EmulatedVault:
    monkeypatch.setenv("OCI_CONFIG_FILE", str(running[2]))
    return running[0]


@pytest.fixture
def ca_file(running: tuple[EmulatedVault, Path, Path]) -> Path:
    return running[1]


@pytest.fixture
def wrapped(vault: EmulatedVault, ca_file: Path) -> WrappedDek:
    with open_kek(vault.create_key(), vault.url, ca_file=str(ca_file)) as kek:
        return kek.wrap(DEK, aad=AAD)


class TestNetwork(NetworkTests):
    ipv6_host = "localhost"

    @pytest.fixture
    def service(self, vault: EmulatedVault, ca_file: Path, wrapped: WrappedDek) -> TlsService:
        self._wrapped = wrapped
        return TlsService(vault.url.replace("localhost", "127.0.0.1"), str(ca_file))

    def call(self, url: str, *, direct: bool) -> None:
        with open_kek(self._wrapped.key_id, url, direct_call=direct) as kek:
            assert kek.unwrap(self._wrapped, aad=AAD) == DEK


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_the_token_of_an_instance_comes_through_the_proxy_and_with_the_authorities(
    emulator: EmulatedVault,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    folder: bool,
) -> None:
    authority = PrivateAuthority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.certificate_pem)
    path = rehashed_folder(tmp_path, ca_file) if folder else str(ca_file)
    emulator.service.instances.start([Grant("*")])
    monkeypatch.setenv("SSL_CERT_DIR", path)
    # The client asks the metadata service, which is plain HTTP, by a rule of its own.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{emulator.url}/opc/v2")

    monkeypatch.setenv("ALL_PROXY", proxies.http.url)

    with Relay(emulator.url, tls=authority.server_context([])) as front:
        url = front.url.replace("127.0.0.1", "localhost")
        settings = {
            "credential": "instance-principal",
            "federation_endpoint": f"{url}/v1/x509",
        }
        key = emulator.create_key()
        with open_kek(key, url, **settings) as kek:
            wrapped = kek.wrap(DEK, aad=AAD)
        with open_kek(key, url, **settings) as kek:
            assert kek.unwrap(wrapped, aad=AAD) == DEK

    # Two requests to TLS each; the client asks for the certificate twice, the direct call once.
    assert emulator.emulator.transcript.count("instance:x509") == 2
    assert emulator.emulator.transcript.count("instance:cert.pem") == 3
    assert proxies.http.asked == [url.partition("//")[2]] * 4


def test_an_ipv6_address_that_oracles_client_rejects_is_named(config_file: Path) -> None:
    with (
        open_kek(KEY, "https://[::1]:443") as kek,
        pytest.raises(SettingsError, match="does not accept an IPv6 address"),
    ):
        kek.wrap(DEK, aad=AAD)
