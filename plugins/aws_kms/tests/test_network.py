"""The rule for proxies and authorities, with and without the AWS client, for STS too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.tokens import SSOTokenProvider
from ksm_storage_aws_kms.direct_call import address
from ksm_storage_aws_kms.key_wrapper import KmsClient
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import AuthenticationError, SettingsError
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.loopback import Relay
from ksm_storage.testing.network_tests import (
    Ipv6AddressTests,
    TlsService,
    rehashed_folder,
)
from ksm_storage.testing.scripted_server import Answer, ScriptedServer

from .opening import AAD, open_kek
from .scripted_kms import ARN

if TYPE_CHECKING:
    from ksm_storage.testing.proxies import Proxies

pytest_plugins = ["ksm_storage.testing.proxies"]
pytestmark = pytest.mark.usefixtures("any_credentials")

WRAPPED = WrappedDek(ARN, "SYMMETRIC_DEFAULT", b"c" * 150)
SSO_PROFILE = (
    "[profile p]\nsso_session = s\nsso_account_id = 111122223333\nsso_role_name = r\n"
    "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.invalid/start\n"
)
EXPIRED_SESSION = {
    "accessToken": "old",
    "expiresAt": "2020-01-01T00:00:00Z",
    "refreshToken": "r",
    "clientId": "i",
    "clientSecret": "s",
    "registrationExpiresAt": "2099-01-01T00:00:00Z",
}
SSO_ANSWERS = (
    {"accessToken": "new", "expiresIn": 3600, "tokenType": "Bearer"},
    {
        "roleCredentials": {
            "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "secretAccessKey": "s",
            "sessionToken": "t",
            "expiration": 4_000_000_000_000,
        }
    },
)
ROLE = "arn:aws:iam::111122223333:role/sealer"


@pytest.fixture(scope="module")
def emulator_with_tls(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Emulator[AwsKmsService], str]]:
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    with Emulator(AwsKmsService(), authority=PrivateAuthority(), ca_file=ca_file) as emulator:
        yield emulator, str(ca_file)


@pytest.fixture
def running(emulator_with_tls: tuple[Emulator[AwsKmsService], str]) -> TlsService:
    emulator, ca_file = emulator_with_tls
    return TlsService(emulator.url.replace("localhost", "127.0.0.1"), ca_file)


def call(url: str, **settings: object) -> None:
    # The service does not know the credentials: the call came as far as the signature.
    with open_kek(ARN, url, **settings) as kek, pytest.raises(AuthenticationError):
        kek.unwrap(WRAPPED, aad=AAD)


class TestNetwork(Ipv6AddressTests):
    @pytest.fixture
    def service(self, running: TlsService) -> TlsService:
        return running

    def call(self, url: str, *, direct: bool) -> None:
        call(url, direct_call=direct)


@pytest.mark.parametrize("direct", ["true", "false"])
def test_the_command_line_goes_by_the_same_rule(
    emulator_with_tls: tuple[Emulator[AwsKmsService], str],
    running: TlsService,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    direct: str,
) -> None:
    service = emulator_with_tls[0].service
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", service.administrator.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", service.administrator.secret_access_key)
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_ENDPOINT", running.url)
    monkeypatch.setenv("KSM_STORAGE_AWS_KMS_DIRECT_CALL", direct)
    monkeypatch.setenv("CURL_CA_BUNDLE", rehashed_folder(tmp_path, Path(running.ca_file)))
    path = tmp_path / "config.json"
    path.write_text('{"clientId": "CID", "hostname": "keepersecurity.eu"}')
    ksm_storage.protect(path, [f"aws-kms://{service.create_key().arn}"])

    monkeypatch.setenv("HTTPS_PROXY", proxies.http.url)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    assert main(["get", str(path), "hostname"]) == 0
    assert main(["check", str(path)]) == 0
    monkeypatch.setenv("HTTPS_PROXY", proxies.http.with_credentials("user:hunter2"))
    assert main(["get", str(path), "hostname"]) != 0

    shown, error = capfd.readouterr()
    assert shown.startswith("keepersecurity.eu\n")
    assert f"the proxy '{proxies.http.place}' (HTTPS_PROXY) requires a valid user" in error
    assert "hunter2" not in error
    assert set(proxies.http.asked) == {f"127.0.0.1:{running.port}"}


def test_the_variable_of_aws_goes_before_those_of_all(
    running: TlsService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.pem").write_bytes(PrivateAuthority().certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", running.ca_file)

    call(running.url)


@pytest.mark.parametrize("given_by", ["the profile", "AWS_CA_BUNDLE", "the option"])
def test_the_profiles_authorities_go_before_those_of_all_and_behind_those_given_for_aws(
    running: TlsService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given_by: str
) -> None:
    (tmp_path / "other.pem").write_bytes(PrivateAuthority().certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    of_profile = running.ca_file if given_by == "the profile" else tmp_path / "other.pem"
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {of_profile}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    if given_by == "AWS_CA_BUNDLE":
        monkeypatch.setenv("AWS_CA_BUNDLE", running.ca_file)

    call(running.url, ca_file=running.ca_file if given_by == "the option" else None)


def test_a_profile_without_authorities_is_named(
    running: TlsService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[default]\nca_bundle = /nowhere/ca.pem\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    with open_kek(ARN, running.url) as kek, pytest.raises(SettingsError) as caught:
        kek.unwrap(WRAPPED, aad=AAD)

    assert "'/nowhere/ca.pem' of the setting ca_bundle of the AWS profile" in caught.value.message


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_sts_is_asked_for_a_role_through_the_proxy_and_with_the_authorities(
    running: TlsService,
    proxies: Proxies,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    folder: bool,
) -> None:
    path = rehashed_folder(tmp_path, Path(running.ca_file)) if folder else running.ca_file
    monkeypatch.setenv("CURL_CA_BUNDLE", path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", running.url)
    # The AWS client by itself knows neither of these.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1:1,10.0.0.0/8")

    monkeypatch.setenv("ALL_PROXY", proxies.http.url)

    call("http://127.0.0.1:1", role_arn=ROLE)

    assert set(proxies.http.asked) == {running.url.partition("//")[2]}


def test_an_sso_session_is_renewed_and_used_through_the_proxy(
    running: TlsService, proxies: Proxies, monkeypatch: pytest.MonkeyPatch, no_credentials: None
) -> None:
    authority = PrivateAuthority()
    folder = Path.home() / ".aws"
    (folder / "sso" / "cache").mkdir(parents=True)
    (folder / "config").write_text(SSO_PROFILE)
    cached = folder / "sso" / "cache" / f"{hashlib.sha1(b's').hexdigest()}.json"
    cached.write_text(json.dumps(EXPIRED_SESSION))
    # The AWS client looks up the home folder once, when it is imported.
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(cached.parent))
    trusted = folder / "ca.pem"
    trusted.write_bytes(Path(running.ca_file).read_bytes() + authority.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    # The AWS client by itself knows neither of these.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1:1,10.0.0.0/8")
    monkeypatch.setenv("ALL_PROXY", proxies.http.url)

    with (
        ScriptedServer(Answer(), read=lambda request: request.path) as sso,
        Relay(sso.url, tls=authority.server_context([])) as front,
    ):
        sso.answers = [Answer(body=json.dumps(each).encode()) for each in SSO_ANSWERS]
        place = front.url.partition("//")[2]
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", f"https://{place}")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", f"https://{place}")
        call(running.url, profile="p")

    paths = [path.partition("?")[0] for path in sso.asked]
    assert paths == ["/token", "/federation/credentials"]
    assert proxies.http.asked == [place, place, running.url.partition("//")[2]]


@pytest.mark.parametrize(
    ("variables", "profile", "expected"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "", "eu-west-1"),
        ({"AWS_REGION": "eu-west-1"}, "region = us-east-2", "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "region = us-east-2", "us-east-1"),
        ({}, "region = us-east-2", "us-east-2"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-1"}, "", "us-east-1"),
    ],
)
@pytest.mark.parametrize(
    ("option", "key", "instead"),
    [
        (None, "alias/app", None),
        ("sa-east-1", "alias/app", "sa-east-1"),
        (None, ARN, ARN.split(":")[3]),
    ],
    ids=["by the environment", "by the option", "by the ARN"],
)
def test_the_region_is_the_arns_else_the_options_else_the_environments(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    profile: str,
    expected: str,
    option: str | None,
    key: str,
    instead: str | None,
) -> None:
    (tmp_path / "config").write_text(f"[default]\n{profile}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    plugin = find_plugin("aws-kms")
    given = {} if option is None else {"region": option}
    settings = gather_settings(KeyUri("aws-kms", key), plugin.options(), {"aws-kms": given})

    wrapper = plugin.open_key_wrapper(key, settings)
    client: KmsClient = wrapper._client  # type: ignore[attr-defined]  # nothing is sent
    region = client.ask("Decrypt", lambda kms: kms.meta.region_name)
    wrapper.close()

    assert region == (instead or expected)
    assert address(client.access) == f"https://kms.{region}.amazonaws.com"
