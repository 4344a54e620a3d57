"""The rule for proxies and authorities, at a real server behind TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority

from ksm_storage.testing.loopback import Relay
from ksm_storage.testing.network_tests import Ipv6AddressTests, TlsService, rehashed_folder

from .openbao import OpenBao
from .opening import AAD, new_dek, opened

pytest_plugins = ["ksm_storage.testing.proxies"]


@pytest.fixture(scope="module")
def running(
    bao: OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OpenBao, TlsService]]:
    authority = PrivateAuthority()
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca_file.write_bytes(authority.certificate_pem)
    with Relay(bao.url, tls=authority.server_context([])) as front:
        yield bao, TlsService(front.url, str(ca_file))


class TestNetwork(Ipv6AddressTests):
    takes_https_proxy = False

    @pytest.fixture
    def service(self, running: tuple[OpenBao, TlsService]) -> TlsService:
        self._bao, service = running
        self._key = self._bao.new_key()
        return service

    @pytest.fixture(params=[True], ids=["direct"])
    def direct(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param)

    def call(self, url: str, *, direct: bool) -> None:
        settings = {"endpoint": url, "token": self._bao.root}
        assert opened(f"transit/{self._key}", settings).wrap(new_dek(), aad=AAD)


@pytest.mark.parametrize("variable", ["BAO_CACERT", "VAULT_CACERT", "BAO_CAPATH", "VAULT_CAPATH"])
def test_the_variables_of_the_server_go_before_those_of_all(
    running: tuple[OpenBao, TlsService],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
) -> None:
    (tmp_path / "other.pem").write_bytes(PrivateAuthority().certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    bao, service = running
    ca_file = service.ca_file
    monkeypatch.setenv(
        variable,
        rehashed_folder(tmp_path, Path(ca_file)) if variable.endswith("PATH") else ca_file,
    )

    settings = {"endpoint": service.url, "token": bao.root}
    assert opened(f"transit/{bao.new_key()}", settings).wrap(new_dek(), aad=AAD)
