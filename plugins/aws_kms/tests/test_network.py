"""The proxy and the authorities of the environment, at a real proxy on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator

from ksm_storage.errors import AuthenticationError
from ksm_storage.plugin import WrappedDek
from ksm_storage.testing.loopback import ConnectProxy

from .opening import AAD, open_kek
from .scripted_kms import ARN

WRAPPED = WrappedDek(ARN, "SYMMETRIC_DEFAULT", b"c" * 150)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of a service behind TLS, and the file of its authority."""
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    with Emulator(AwsKmsService(), authority=PrivateAuthority(), ca_file=ca_file) as emulator:
        yield emulator.url, str(ca_file)


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with ConnectProxy() as server:
        assert isinstance(server, ConnectProxy)
        yield server


@pytest.mark.parametrize("direct_call", [True, False], ids=["direct", "client"])
@pytest.mark.parametrize(
    ("variable", "exceptions", "is_asked"),
    [
        ("HTTPS_PROXY", "", True),
        ("https_proxy", "", True),
        ("ALL_PROXY", "", True),
        ("all_proxy", "10.0.0.0/8", True),
        ("HTTPS_PROXY", "127.0.0.0/8", False),
        ("HTTPS_PROXY", "127.0.0.1:1", True),
        ("HTTPS_PROXY", "*", False),
    ],
)
def test_the_proxy_of_the_environment_is_used_and_its_exceptions(
    any_credentials: None,
    tls: tuple[str, str],
    proxy: ConnectProxy,
    monkeypatch: pytest.MonkeyPatch,
    direct_call: bool,
    variable: str,
    exceptions: str,
    is_asked: bool,
) -> None:
    url = tls[0].replace("localhost", "127.0.0.1")
    monkeypatch.setenv(variable, proxy.url.replace("//", "//user:word@"))
    monkeypatch.setenv("NO_PROXY", exceptions)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with (
        open_kek(ARN, url, ca_file=tls[1], direct_call=direct_call) as kek,
        pytest.raises(AuthenticationError),
    ):
        kek.unwrap(WRAPPED, aad=AAD)

    assert set(proxy.asked) == ({(url.partition("//")[2], True)} if is_asked else set())


@pytest.mark.parametrize("direct_call", [True, False], ids=["direct", "client"])
@pytest.mark.parametrize(
    "variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
)
def test_the_authorities_of_the_environment_are_trusted(
    any_credentials: None,
    tls: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    direct_call: bool,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, tls[1])
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    # It came as far as the signature.
    with (
        open_kek(ARN, tls[0], direct_call=direct_call) as kek,
        pytest.raises(AuthenticationError),
    ):
        kek.unwrap(WRAPPED, aad=AAD)
