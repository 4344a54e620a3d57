"""The rule for proxies and authorities, for Cloud KMS over gRPC and for tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ksm_storage.testing.network_tests import Ipv6AddressTests, TlsService

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


def test_the_direct_call_goes_through_the_proxy_to_the_authorities_of_the_environment(
    kms_tls: EmulatedKms, proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = kms_tls.create_key().name
    with open_kek(key, kms_tls.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    kms_tls.emulator.transcript.reset()
    settings = {name: each for name, each in kms_tls.settings.items() if name != "ca_file"}
    monkeypatch.setenv("SSL_CERT_FILE", str(kms_tls.ca_file))

    monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)

    with open_kek(key, settings) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK

    assert proxies.http.asked == [kms_tls.url.partition("//")[2]]
    assert [asked.method for asked in kms_tls.emulator.transcript.exchanges()] == ["POST"]


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
