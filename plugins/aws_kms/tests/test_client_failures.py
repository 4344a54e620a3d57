"""Each failure that does not come from KMS itself: network, TLS, configuration, credentials."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore import exceptions as sdk
from ksm_storage_aws_kms.errors import CLIENT_FAILURES, call_of, translated
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator

from ksm_storage import errors

from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, ScriptedKms

CALL = call_of("Encrypt", ARN, "eu-west-1")


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of this machine where somebody listens and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def refused(endpoint: str | None, **settings: object) -> errors.KsmStorageError:
    """Return the error with which a wrap fails."""
    with open_kek(ARN, endpoint, **settings) as kek, pytest.raises(errors.KsmStorageError) as exc:
        kek.wrap(DEK, aad=AAD)
    return exc.value


def test_a_refused_connection_is_unavailable(any_credentials: None, closed_port: int) -> None:
    error = refused(f"http://127.0.0.1:{closed_port}")

    assert type(error) is errors.UnavailableError
    assert error.message == "cannot reach AWS KMS (eu-west-1)"


def test_a_host_without_an_address_is_unavailable(any_credentials: None) -> None:
    error = refused("https://kms.invalid")

    assert type(error) is errors.UnavailableError
    assert error.message == "cannot resolve the hostname 'kms.invalid'"


def test_a_silent_server_is_unavailable(any_credentials: None, silent_port: int) -> None:
    error = refused(f"http://127.0.0.1:{silent_port}", read_timeout=0.1)

    assert type(error) is errors.UnavailableError
    assert "did not answer in time" in error.message


def test_a_dropped_connection_is_unavailable_and_its_cause_holds_no_request(
    any_credentials: None,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with open_kek(ARN, url, direct_call=False) as kek:
            error = _dropped(server, lambda: kek.wrap(DEK, aad=AAD))

    assert type(error) is errors.UnavailableError
    assert "closed before the reply" in error.message
    assert isinstance(error.__cause__, sdk.HTTPClientError)
    assert vars(error.__cause__)["request"] is None


def _dropped(server: socket.socket, call: Callable[[], object]) -> BaseException | None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call)
        connection, _ = server.accept()
        connection.recv(65_536)
        connection.close()
        return waiting.exception(timeout=10)


def test_a_server_that_speaks_no_tls_is_unavailable(scripted: ScriptedKms) -> None:
    error = refused(scripted.url.replace("http://", "https://"))

    assert type(error) is errors.UnavailableError


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of a server with a certificate of a private authority, and the authority's file."""
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    with Emulator(AwsKmsService(), authority=PrivateAuthority(), ca_file=ca_file) as emulator:
        yield emulator.url, str(ca_file)


def test_a_certificate_of_an_unknown_authority_is_not_retried(
    any_credentials: None, tls: tuple[str, str]
) -> None:
    error = refused(tls[0])

    assert type(error) is errors.ProviderError
    assert "is not trusted" in error.message
    assert "ca_file" in str(error.hint)


def test_the_authority_of_the_option_is_trusted(
    any_credentials: None, tls: tuple[str, str]
) -> None:
    error = refused(tls[0], ca_file=tls[1])

    # It came as far as the signature.
    assert type(error) is errors.AuthenticationError
    assert error.request_id


def test_the_authority_of_the_aws_configuration_is_trusted(
    any_credentials: None, tls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", tls[1])

    assert type(refused(tls[0])) is errors.AuthenticationError


@pytest.mark.parametrize(
    "content",
    [None, b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA"],
    ids=["missing", "junk", "cut off"],
)
def test_a_ca_bundle_that_cannot_be_used_is_a_settings_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))

    with pytest.raises(errors.SettingsError, match="of the environment variable AWS_CA_BUNDLE"):
        open_kek(ARN, "https://127.0.0.1:1")


def test_no_credentials_are_an_authentication_error(
    scripted: ScriptedKms, no_credentials: None
) -> None:
    assert "no AWS credentials found" in refused(scripted.url).message
    assert scripted.asked == []


def test_half_of_the_credentials_is_an_authentication_error(
    scripted: ScriptedKms, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")

    assert type(refused(scripted.url)) is errors.AuthenticationError


def test_an_unknown_profile_is_a_settings_error(scripted: ScriptedKms) -> None:
    error = refused(scripted.url, profile="nobody")

    assert type(error) is errors.SettingsError
    assert "profile" in error.message


def test_a_profile_of_the_environment_that_is_unknown_is_a_settings_error(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    assert type(refused(scripted.url)) is errors.SettingsError


def test_a_broken_configuration_file_is_a_settings_error(
    scripted: ScriptedKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    assert type(refused(scripted.url)) is errors.SettingsError


@pytest.mark.parametrize(
    "variable", [("AWS_USE_FIPS_ENDPOINT", "maybe"), ("AWS_MAX_ATTEMPTS", "many")]
)
def test_an_unusable_variable_is_a_settings_error(
    scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    monkeypatch.setenv(*variable)

    assert type(refused(None)) in (errors.SettingsError, errors.UnavailableError)


def test_a_region_that_is_no_name_is_a_settings_error(any_credentials: None) -> None:
    with (
        open_kek("alias/app", region="eu west!") as kek,
        pytest.raises(errors.SettingsError, match="not a valid region name"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_token_file_that_cannot_be_read_is_a_settings_error(
    scripted: ScriptedKms, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/app")

    assert type(refused(scripted.url)) is errors.SettingsError


@pytest.mark.parametrize("code", ["sys.exit(1)", "print('[]')", "print('no json')"])
def test_a_credential_process_that_fails_is_an_authentication_error(
    scripted: ScriptedKms,
    no_credentials: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    script = tmp_path / "process.py"
    script.write_text(f"import sys\n{code}\n")
    config = tmp_path / "config"
    config.write_text(f"[profile p]\ncredential_process = {sys.executable} {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    assert type(refused(scripted.url, profile="p")) is errors.AuthenticationError


def test_an_sso_session_without_a_sign_in_is_an_authentication_error(
    scripted: ScriptedKms, no_credentials: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile p]\nsso_session = s\nsso_account_id = 111122223333\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.invalid/start\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    error = refused(scripted.url, profile="p")

    assert type(error) is errors.AuthenticationError
    assert "aws sso login" in str(error.hint)


# What cannot be brought about on loopback, made as botocore makes it.
RARE = {
    "MetadataRetrievalError": (sdk.MetadataRetrievalError(error_msg="x"), "AuthenticationError"),
    "TokenRetrievalError": (
        sdk.TokenRetrievalError(provider="x", error_msg="x"),
        "AuthenticationError",
    ),
    "NoAuthTokenError": (sdk.NoAuthTokenError(), "AuthenticationError"),
    "LoginRefreshRequired": (sdk.LoginRefreshRequired(), "AuthenticationError"),
    "LoginInsufficientPermissions": (
        sdk.LoginInsufficientPermissions(error_msg="x"),
        "PermissionDeniedError",
    ),
    "UnauthorizedSSOTokenError": (sdk.UnauthorizedSSOTokenError(), "AuthenticationError"),
    "RefreshWithMFAUnsupportedError": (
        sdk.RefreshWithMFAUnsupportedError(),
        "AuthenticationError",
    ),
    "ConfigNotFound": (sdk.ConfigNotFound(path="x"), "SettingsError"),
    "InfiniteLoopConfigError": (
        sdk.InfiniteLoopConfigError(source_profile="x", visited_profiles="x"),
        "SettingsError",
    ),
    "InvalidRetryModeError": (
        sdk.InvalidRetryModeError(provided_retry_mode="x", valid_modes="x"),
        "SettingsError",
    ),
    "InvalidProxiesConfigError": (sdk.InvalidProxiesConfigError(error="x"), "SettingsError"),
    "InvalidIMDSEndpointError": (sdk.InvalidIMDSEndpointError(endpoint="x"), "SettingsError"),
    "InvalidIMDSEndpointModeError": (
        sdk.InvalidIMDSEndpointModeError(mode="x", valid_modes="x"),
        "SettingsError",
    ),
    "UnknownEndpointError": (
        sdk.UnknownEndpointError(service_name="x", region_name="x"),
        "SettingsError",
    ),
    "EndpointResolutionError": (sdk.EndpointResolutionError(msg="x"), "SettingsError"),
    "UnknownCredentialError": (sdk.UnknownCredentialError(name="x"), "SettingsError"),
    "MissingDependencyException": (sdk.MissingDependencyException(msg="x"), "SettingsError"),
    "ProxyConnectionError": (sdk.ProxyConnectionError(proxy_url="x"), "UnavailableError"),
    "ConnectTimeoutError": (sdk.ConnectTimeoutError(endpoint_url="x"), "UnavailableError"),
    "ResponseStreamingError": (sdk.ResponseStreamingError(error="x"), "UnavailableError"),
    "IncompleteReadError": (
        sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        "UnavailableError",
    ),
    "ParamValidationError": (sdk.ParamValidationError(report="x"), "ProviderError"),
}


@pytest.mark.parametrize("name", RARE)
def test_a_rare_failure_of_the_client_is_its_documented_error(name: str) -> None:
    exc, kind = RARE[name]

    error = translated(exc, CALL)

    assert type(error).__name__ == kind
    assert "{" not in f"{error.message}{error.hint}"


def test_every_failure_of_the_client_has_a_row_of_its_own_or_its_parents() -> None:
    kinds = [kind for kind in vars(sdk).values() if isinstance(kind, type)]
    raised = [kind for kind in kinds if issubclass(kind, sdk.BotoCoreError)]

    assert all(any(p.__name__ in CLIENT_FAILURES for p in kind.__mro__) for kind in raised)
