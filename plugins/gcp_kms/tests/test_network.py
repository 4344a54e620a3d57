"""The rule for proxies and authorities, for Cloud KMS over gRPC and for tokens."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ksm_storage.errors import UnavailableError
from ksm_storage.network import CA_VARIABLES, PROXY_VARIABLES
from ksm_storage.testing.loopback import Relay
from ksm_storage.testing.network_tests import Ipv6AddressTests, TlsService, rehashed_folder

from .direct import wrapped_dek
from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek

if TYPE_CHECKING:
    from ksm_storage.testing.proxies import Proxies

pytest_plugins = ["ksm_storage.testing.proxies"]


class TestNetwork(Ipv6AddressTests):
    takes_https_proxy = False
    needs_http2 = True

    @pytest.fixture
    def service(self, kms_tls: EmulatedKms) -> TlsService:
        self._kms = kms_tls
        return TlsService(kms_tls.url.replace("localhost", "127.0.0.1"), str(kms_tls.ca_file))

    @pytest.fixture(params=[False], ids=["client"])
    def direct(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param)

    def call(self, url: str, *, direct: bool) -> None:
        settings = {name: each for name, each in self._kms.settings.items() if name != "ca_file"}
        with open_kek(self._kms.create_key().name, settings, endpoint=url) as kek:
            kek.wrap(DEK, aad=AAD)


def test_a_call_that_the_proxy_refuses_is_not_tried_again(
    kms_tls: EmulatedKms, proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", proxies.http.url)
    proxies.http.refuse("127.0.0.1")
    # The proxy does not see the attempts: gRPC keeps its failure for a second.
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append)
    monkeypatch.setattr("google.api_core.retry.retry_unary.time", clock)

    with (
        open_kek(kms_tls.create_key().name, kms_tls.settings) as kek,
        pytest.raises(UnavailableError, match="refused to connect"),
    ):
        kek.wrap(DEK, aad=AAD)

    assert pauses == []


class DirectCall:
    """Unwrap over the REST API, with what the environment says of the network."""

    def __init__(self, kms: EmulatedKms) -> None:
        self._kms = kms
        with open_kek(kms.create_key().name, kms.settings) as kek:
            self._wrapped = kek.wrap(DEK, aad=AAD)
        kms.emulator.transcript.reset()
        self.place = kms.url.partition("//")[2]
        self.port = self.place.rpartition(":")[2]

    def __call__(self, **more: object) -> None:
        settings = {name: each for name, each in self._kms.settings.items() if name != "ca_file"}
        with open_kek(self._wrapped.key_id, settings, **more) as kek:
            assert kek.unwrap(self._wrapped, aad=AAD) == DEK
        # The Google client would have been seen here as a call of gRPC.
        exchanges = self._kms.emulator.transcript.exchanges()
        assert [asked.method for asked in exchanges] == ["POST"]


@pytest.fixture
def direct_call(kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> DirectCall:
    made = DirectCall(kms_tls)
    for name in ("no_proxy", "NO_PROXY", *PROXY_VARIABLES, *CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(kms_tls.ca_file))
    return made


@pytest.mark.parametrize("variable", PROXY_VARIABLES)
def test_the_direct_call_goes_through_the_proxy(
    direct_call: DirectCall, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, proxies.http.url)

    direct_call()

    assert proxies.http.asked == [direct_call.place]


@pytest.mark.parametrize(
    ("exceptions", "is_asked"),
    [("127.0.0.1:{port}", False), ("127.0.0.0/8", False), ("10.0.0.0/8,127.0.0.1:1", True)],
)
def test_the_direct_call_goes_by_the_exceptions_from_the_proxy(
    direct_call: DirectCall,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    exceptions: str,
    is_asked: bool,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)
    monkeypatch.setenv("NO_PROXY", exceptions.format(port=direct_call.port))

    direct_call()

    assert proxies.http.asked == [direct_call.place] * is_asked


@pytest.mark.parametrize("variable", CA_VARIABLES)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_direct_call_trusts_the_authorities_of_the_environment(
    direct_call: DirectCall,
    kms_tls: EmulatedKms,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    kind: str,
) -> None:
    file = Path(str(kms_tls.ca_file))
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv(variable, rehashed_folder(tmp_path, file) if kind == "folder" else str(file))

    direct_call()


def test_the_direct_call_reaches_a_service_without_ipv4(
    direct_call: DirectCall, kms_tls: EmulatedKms
) -> None:
    with Relay(kms_tls.url, host="::1") as relay:
        direct_call(endpoint=relay.url)

    assert relay.connections


def test_the_direct_call_goes_through_a_proxy_that_inspects_tls(
    direct_call: DirectCall,
    kms_tls: EmulatedKms,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(str(kms_tls.ca_file)).read_bytes() + proxies.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    monkeypatch.setenv("HTTPS_PROXY", proxies.inspecting.url)

    # HTTP/2 is not needed for it.
    direct_call()

    assert proxies.inspecting.asked == [direct_call.place]


@pytest.mark.parametrize("account", [None, "tunnelled@demo.iam.gserviceaccount.com"])
def test_the_direct_call_exchanges_a_token_through_the_proxy(
    kms_tls: EmulatedKms,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    account: str | None,
) -> None:
    key, wrapped = wrapped_dek(kms_tls)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)
    file = kms_tls.write_federation("tunnelled.json", account=account)
    settings = {**kms_tls.settings, "credential": "default", "credentials_file": str(file)}

    with open_kek(key, settings) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK

    exchanges = kms_tls.emulator.transcript.exchanges()
    assert "gRPC" not in [asked.method for asked in exchanges]
    tokens = [kms_tls.emulator.url.partition("//")[2]] * (1 if account is None else 2)
    assert proxies.http.asked == [*tokens, kms_tls.url.partition("//")[2]]


def test_the_token_of_another_account_is_asked_for_through_the_proxy(
    kms_tls: EmulatedKms, proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = "proxied@demo.iam.gserviceaccount.com"
    kms_tls.service.tokens.add_account(account)
    kms_tls.service.policy.grant(account, ["*"])
    monkeypatch.setenv("NO_PROXY", kms_tls.url.partition("//")[2])

    monkeypatch.setenv("ALL_PROXY", proxies.http.url)

    with open_kek(
        kms_tls.create_key().name,
        kms_tls.settings,
        credential="impersonation",
        impersonate_service_account=account,
    ) as kek:
        kek.wrap(DEK, aad=AAD)

    assert set(proxies.http.asked) == {kms_tls.emulator.url.partition("//")[2]}
