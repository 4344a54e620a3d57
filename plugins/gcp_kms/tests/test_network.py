"""The rule for proxies and authorities, for Cloud KMS over gRPC and for tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority

from ksm_storage.errors import SettingsError
from ksm_storage.testing.loopback import ConnectProxy
from ksm_storage.testing.network_tests import NetworkTests, OtherAuthority, TlsService

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek


class TestNetwork(NetworkTests):
    takes_https_proxy = False

    @pytest.fixture
    def service(self, kms_tls: EmulatedKms) -> TlsService:
        self._kms = kms_tls
        return TlsService(kms_tls.url.replace("localhost", "127.0.0.1"), str(kms_tls.ca_file))

    @pytest.fixture(params=[False], ids=["client"])
    def direct(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param)

    @pytest.fixture
    def other_authority(self) -> OtherAuthority:
        authority = PrivateAuthority()
        return OtherAuthority(authority.server_context([]), authority.certificate_pem)

    def call(self, url: str, *, direct: bool) -> None:
        settings = {name: each for name, each in self._kms.settings.items() if name != "ca_file"}
        with open_kek(self._kms.create_key().name, settings, endpoint=url) as kek:
            kek.wrap(DEK, aad=AAD)


def test_the_direct_call_goes_through_the_proxy_to_the_authorities_of_the_environment(
    kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = kms_tls.create_key().name
    with open_kek(key, kms_tls.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    kms_tls.emulator.transcript.reset()
    settings = {name: each for name, each in kms_tls.settings.items() if name != "ca_file"}
    monkeypatch.setenv("SSL_CERT_FILE", str(kms_tls.ca_file))

    with ConnectProxy() as proxy:
        assert isinstance(proxy, ConnectProxy)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with open_kek(key, settings) as kek:
            assert kek.unwrap(wrapped, aad=AAD) == DEK

    assert list(proxy.asked) == [(kms_tls.url.partition("//")[2], False)]
    assert [asked.method for asked in kms_tls.emulator.transcript.exchanges()] == ["POST"]


def test_a_folder_without_certificates_is_a_settings_error(
    kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {name: each for name, each in kms_tls.settings.items() if name != "ca_file"}
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    with (
        open_kek(kms_tls.create_key().name, settings) as kek,
        pytest.raises(SettingsError, match="has no PEM certificate"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_the_token_of_another_account_is_asked_for_through_the_proxy(
    kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = "proxied@demo.iam.gserviceaccount.com"
    kms_tls.service.tokens.add_account(account)
    kms_tls.service.policy.grant(account, ["*"])
    monkeypatch.setenv("NO_PROXY", kms_tls.url.partition("//")[2])

    with ConnectProxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with open_kek(
            kms_tls.create_key().name,
            kms_tls.settings,
            credential="impersonation",
            impersonate_service_account=account,
        ) as kek:
            kek.wrap(DEK, aad=AAD)

    assert isinstance(proxy, ConnectProxy)
    assert {place for place, _ in proxy.asked} == {kms_tls.emulator.url.partition("//")[2]}
