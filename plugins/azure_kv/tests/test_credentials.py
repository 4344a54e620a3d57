"""Each kind of credential against token endpoints that check."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from ksm_storage_emulators.azure_key_vault.token_endpoints import APP_SERVICE_PATH

from ksm_storage import errors

from .callers import Caller, needs_posix, write_command

SOON = timedelta(hours=1)


@pytest.fixture(scope="session")
def certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + SOON)
    return key, builder.sign(key, hashes.SHA256())


def test_a_client_secret_is_shown_to_entra(caller: Caller) -> None:
    application = caller.application()

    assert caller.works(
        credential="client-secret",
        client_secret=application.secret,
        **caller.named(application),
    )


@pytest.mark.parametrize("form", ["PEM", "PKCS #12"])
def test_a_client_certificate_signs_the_request_for_a_token(
    caller: Caller,
    certificate: tuple[rsa.RSAPrivateKey, x509.Certificate],
    tmp_path: Path,
    form: str,
) -> None:
    application = caller.application()
    key, public = certificate
    application.add_certificate(public.public_bytes(Encoding.PEM))
    path = tmp_path / "app.certificate"
    if form == "PEM":
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + public.public_bytes(Encoding.PEM))
    else:
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(
                b"app", key, public, None, BestAvailableEncryption(b"password")
            )
        )

    assert caller.works(
        credential="client-certificate",
        certificate_path=str(path),
        certificate_password=None if form == "PEM" else "password",
        **caller.named(application),
    )


def test_a_certificate_that_the_application_does_not_know_is_refused(
    caller: Caller, certificate: tuple[rsa.RSAPrivateKey, x509.Certificate], tmp_path: Path
) -> None:
    key, public = certificate
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "app.pem"
    path.write_bytes(private + public.public_bytes(Encoding.PEM))

    error = caller.refused(
        credential="client-certificate",
        certificate_path=str(path),
        **caller.named(caller.application()),
    )

    assert type(error) is errors.AuthenticationError
    assert "AADSTS700027" in error.message


def test_a_file_that_is_no_certificate_is_a_settings_error(caller: Caller, tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_text("-----BEGIN NOTHING-----")

    error = caller.refused(
        credential="client-certificate",
        certificate_path=str(path),
        **caller.named(caller.application()),
    )

    assert type(error) is errors.SettingsError
    assert "NOTHING" not in str(error.as_dict())


def test_a_workload_identity_shows_the_token_in_its_file(caller: Caller, tmp_path: Path) -> None:
    application = caller.application()
    trust = application.federate(issuer="https://cluster.example", subject="system:app")
    path = tmp_path / "token"
    path.write_text(trust.token(expires_at=time.time() + 600))

    assert caller.works(
        credential="workload-identity", token_file=str(path), **caller.named(application)
    )


@pytest.mark.parametrize(
    ("wrong", "number"),
    [
        ({"subject": "system:other"}, 700211),
        ({"audience": "api://other"}, 700211),
        ({"expires_at": 1.0}, 700024),
    ],
    ids=["subject", "audience", "expired"],
)
def test_a_workload_identity_with_another_token_is_refused(
    caller: Caller, tmp_path: Path, wrong: Mapping[str, object], number: int
) -> None:
    application = caller.application()
    trust = application.federate(issuer="https://cluster.example", subject="system:app")
    path = tmp_path / "token"
    path.write_text(trust.token(**{"expires_at": time.time() + 600, **wrong}))  # type: ignore[arg-type]  # parametrised

    error = caller.refused(
        credential="workload-identity", token_file=str(path), **caller.named(application)
    )

    assert type(error) is errors.AuthenticationError
    assert f"AADSTS{number}" in error.message


def test_a_workload_identity_without_its_file_is_a_settings_error(caller: Caller) -> None:
    error = caller.refused(
        credential="workload-identity",
        token_file="/no/such/file",
        **caller.named(caller.application()),
    )

    assert type(error) in (errors.SettingsError, errors.AuthenticationError)


def test_a_workload_identity_without_settings_is_a_settings_error(caller: Caller) -> None:
    assert type(caller.refused(credential="workload-identity")) is errors.SettingsError


@pytest.mark.parametrize("assigned", ["system", "user"])
@pytest.mark.parametrize("place", ["virtual machine", "App Service"])
def test_a_managed_identity_is_what_the_place_gives(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, assigned: str, place: str
) -> None:
    if assigned == "system":
        principal = caller.directory.assign_system_identity("machine")
    else:
        principal = caller.directory.add_user_assigned_identity("named")
    caller.allow(principal)
    if place == "App Service":
        endpoints = caller.emulator.service.token_endpoints
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{caller.emulator.url}{APP_SERVICE_PATH}")
        monkeypatch.setenv("IDENTITY_HEADER", endpoints.identity_header)
    else:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", caller.emulator.url)

    assert caller.works(
        credential="managed-identity",
        client_id=None if assigned == "system" else principal.client_id,
    )


def test_an_identity_that_the_machine_does_not_have_is_an_authentication_error(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", caller.emulator.url)

    error = caller.refused(credential="managed-identity", client_id="nobody")

    assert type(error) is errors.AuthenticationError
    assert "'managed-identity'" in error.message


def test_a_machine_without_an_identity_is_told_within_the_bound(caller: Caller) -> None:
    started = time.monotonic()

    error = caller.refused(credential="managed-identity", credential_timeout=1.0)

    assert type(error) is errors.AuthenticationError
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", ["environment", "default"])
def test_the_environment_may_hold_an_application(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    application = caller.application()
    monkeypatch.setenv("AZURE_TENANT_ID", caller.directory.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", application.principal.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", application.secret)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", caller.emulator.url)

    assert caller.works(credential=kind)


@pytest.mark.parametrize("kind", ["environment", "default"])
def test_an_authority_that_is_down_is_told_from_one_that_refuses(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", caller.directory.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", caller.application().principal.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", caller.emulator.url)

    refused = caller.refused(credential=kind)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1")
    unreached = caller.refused(credential=kind)

    assert (type(refused), refused.retryable) == (errors.AuthenticationError, False)
    assert "AADSTS7000215" in refused.message
    assert (type(unreached), unreached.retryable) == (errors.UnavailableError, True)


def test_an_environment_without_an_application_is_an_authentication_error(caller: Caller) -> None:
    error = caller.refused(credential="environment")

    assert type(error) is errors.AuthenticationError
    assert "'environment'" in error.message


def test_the_default_finds_the_identity_of_the_machine(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", caller.emulator.url)
    caller.allow(caller.directory.assign_system_identity("machine"))

    assert caller.works()


def test_a_default_that_finds_nothing_says_so_within_the_bound(caller: Caller) -> None:
    started = time.monotonic()

    error = caller.refused(credential_timeout=2.0)

    assert type(error) is errors.AuthenticationError
    assert "no Azure credentials of the kind 'default' found" in error.message
    assert time.monotonic() - started < 5


@needs_posix
def test_the_command_line_of_azure_is_asked_for_a_token(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal = caller.application().principal
    token = caller.emulator.service.tokens.issue(principal, "https://vault.azure.net")
    answer = json.dumps({"accessToken": token, "expires_on": int(time.time()) + 3600})
    write_command(tmp_path, monkeypatch, f"print({answer!r})")

    assert caller.works(credential="cli")
