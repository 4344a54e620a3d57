"""Who asks: each kind of credentials over a real wire, and how long looking for them may take."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, KEY_RING

from ksm_storage.errors import (
    AuthenticationError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
    UnavailableError,
)

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek

TARGET = "app@demo.iam.gserviceaccount.com"
USE = ["cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt"]
IMPERSONATE = ["iam.serviceAccounts.getAccessToken"]


def _settings(kms: EmulatedKms, **settings: object) -> dict[str, object]:
    return {"endpoint": kms.url, "iam_endpoint": kms.emulator.url, **settings}


def _use(kms: EmulatedKms, **settings: object) -> dict[str, int]:
    """Wrap and unwrap, and return the calls that this took."""
    key = kms.create_key()
    with open_kek(key.name, _settings(kms, **settings)) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK
    return kms.emulator.transcript.calls()


def _refused(kms: EmulatedKms, **settings: object) -> KsmStorageError:
    key = f"{KEY_RING}/cryptoKeys/any"
    with (
        open_kek(key, _settings(kms, **settings)) as kek,
        pytest.raises(KsmStorageError) as caught,
    ):
        kek.wrap(DEK, aad=AAD)
    assert "hunter2" not in str(caught.value.as_dict())
    return caught.value


@pytest.fixture
def user_file(kms: EmulatedKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write what ``gcloud auth application-default login`` writes."""
    # The library takes no other address for users, whatever the file says.
    monkeypatch.setattr(
        "google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{kms.emulator.url}/token"
    )
    document = {
        "type": "authorized_user",
        "client_id": "app",
        "client_secret": "hunter2",
        "refresh_token": kms.service.tokens.add_user(ADMINISTRATOR),
    }
    path = tmp_path / "user.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def instance(kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run on a machine whose metadata server speaks for the administrator."""
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, kms.emulator.url.removeprefix("http://"))
    # The library has read them when it was imported.
    from google.auth.compute_engine import _metadata

    host = kms.emulator.url.removeprefix("http://")
    for name in ("_GCE_METADATA_HOST", "_GCE_DEFAULT_MDS_IP"):
        if hasattr(_metadata, name):
            monkeypatch.setattr(_metadata, name, host)
    kms.service.endpoints.instance_account = ADMINISTRATOR
    yield
    kms.service.endpoints.instance_account = None


def test_a_service_account_signs_its_own_token(kms: EmulatedKms) -> None:
    calls = _use(kms, credential="service-account", credentials_file=str(kms.key_file))

    assert calls == {"Encrypt": 1, "Decrypt": 1}


def test_the_default_is_found_by_the_environment(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(kms.key_file))

    assert _use(kms) == {"Encrypt": 1, "Decrypt": 1}


def test_the_default_may_be_a_file_of_any_kind(kms: EmulatedKms, user_file: Path) -> None:
    assert _use(kms, credentials_file=str(user_file)) == {"Token": 1, "Encrypt": 1, "Decrypt": 1}


def test_the_credentials_of_a_login_are_found(
    kms: EmulatedKms, user_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(user_file.parent))
    user_file.rename(user_file.with_name("application_default_credentials.json"))

    assert _use(kms)["Token"] == 1


def test_an_instance_asks_its_metadata_server(kms: EmulatedKms, instance: None) -> None:
    calls = _use(kms, credential="metadata")

    assert (calls["Encrypt"], calls["Decrypt"]) == (1, 1)
    assert 1 <= calls["Metadata"] <= 2


def test_the_default_finds_the_metadata_server(kms: EmulatedKms, instance: None) -> None:
    assert _use(kms)["Metadata"] >= 1


def test_an_account_is_impersonated(kms: EmulatedKms) -> None:
    kms.service.tokens.add_account(TARGET)
    kms.service.policy.grant(TARGET, USE)
    source = "source@demo.iam.gserviceaccount.com"
    file = kms.write_key_file("source.json", source)
    kms.service.policy.grant(source, IMPERSONATE, on=f"projects/-/serviceAccounts/{TARGET}")

    calls = _use(
        kms,
        credential="impersonation",
        impersonate_service_account=TARGET,
        credentials_file=str(file),
    )

    # The source itself may not use the key.
    assert calls == {"GenerateAccessToken": 1, "Encrypt": 1, "Decrypt": 1}


def test_an_account_that_may_not_be_impersonated_is_told_with_the_permission(
    kms: EmulatedKms,
) -> None:
    file = kms.write_key_file("nobody.json", "nobody@demo.iam.gserviceaccount.com")

    error = _refused(
        kms,
        credential="impersonation",
        impersonate_service_account="other@demo.iam.gserviceaccount.com",
        credentials_file=str(file),
    )

    assert type(error) is PermissionDeniedError
    assert error.permission == "iam.serviceAccounts.getAccessToken"


def test_a_token_is_renewed_when_it_runs_out(kms: EmulatedKms, user_file: Path) -> None:
    key = kms.create_key()
    with open_kek(key.name, _settings(kms, credentials_file=str(user_file))) as kek:
        kek.wrap(DEK, aad=AAD)
        credentials = kek._wrapper._client._held._clients[os.getpid()].credentials._found  # type: ignore[attr-defined]
        credentials.expiry = credentials.expiry.replace(year=2000)

        kek.wrap(DEK, aad=AAD)

    assert kms.emulator.transcript.count("Token") == 2


@pytest.mark.parametrize("allowed", [True, False])
def test_the_calls_count_against_the_quota_project(kms: EmulatedKms, allowed: bool) -> None:
    caller = f"quota-{allowed}@demo.iam.gserviceaccount.com".lower()
    file = kms.write_key_file(f"quota-{allowed}.json", caller)
    kms.service.policy.grant(caller, USE)
    given = {"credentials_file": str(file), "quota_project": "billing"}
    if not allowed:
        error = _refused(kms, **given)
        assert error.permission == "serviceusage.services.use"
        return

    kms.service.policy.grant(caller, ["serviceusage.services.use"], on="projects/billing")

    assert _use(kms, **given) == {"Encrypt": 1, "Decrypt": 1}


def test_no_credentials_at_all_are_an_authentication_error(kms: EmulatedKms) -> None:
    error = _refused(kms, credential_timeout=0.5)

    assert type(error) in (AuthenticationError, UnavailableError)
    assert kms.calls() == 0


def test_looking_for_a_metadata_server_ends_in_time(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.auth.compute_engine import _metadata

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        for name in ("_GCE_METADATA_HOST", "_GCE_DEFAULT_MDS_IP"):
            if hasattr(_metadata, name):
                monkeypatch.setattr(_metadata, name, host)
        monkeypatch.setenv("GCE_METADATA_IP", host)
        started = time.monotonic()

        error = _refused(kms, credential_timeout=0.4)

    # The library alone tries three times for three seconds each. The pause after a first attempt
    # is its own.
    assert time.monotonic() - started < 2.5
    assert type(error) is UnavailableError
    assert "in time" in error.message


def test_a_deleted_key_of_an_account_is_an_authentication_error(kms: EmulatedKms) -> None:
    email = "gone@demo.iam.gserviceaccount.com"
    file = kms.write_key_file("gone.json", email)
    kms.service.tokens.remove(email)

    error = _refused(kms, credential="service-account", credentials_file=str(file))

    assert type(error) is AuthenticationError


def test_a_wrong_clock_is_an_authentication_error(kms: EmulatedKms) -> None:
    kms.emulator.clock.set_skew(7200)

    error = _refused(kms, credential="service-account", credentials_file=str(kms.key_file))

    assert type(error) is AuthenticationError
    assert "clock" in str(error.hint)


def test_a_login_that_was_revoked_is_an_authentication_error(
    kms: EmulatedKms, user_file: Path
) -> None:
    document = json.loads(user_file.read_text())
    user_file.write_text(json.dumps({**document, "refresh_token": "revoked"}))

    error = _refused(kms, credentials_file=str(user_file))

    assert type(error) is AuthenticationError


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the library's pauses between its attempts, a second and more each."""
    monkeypatch.setattr(
        "google.auth._exponential_backoff.time", SimpleNamespace(sleep=lambda seconds: None)
    )


def test_a_token_service_that_fails_is_unavailable(
    kms: EmulatedKms, user_file: Path, no_pauses: None
) -> None:
    kms.emulator.faults.add(FaultKind.ERROR, operation="Token", status=503)

    error = _refused(kms, credentials_file=str(user_file))

    assert type(error) is UnavailableError
    assert "cannot reach" in error.message


def test_a_metadata_server_that_is_not_there_is_unavailable(
    kms: EmulatedKms, no_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library has read the variable when it was imported.
    monkeypatch.setattr(
        "google.auth.compute_engine._metadata._GCE_METADATA_HOST", "127.0.0.1:9", raising=False
    )

    error = _refused(kms, credential="metadata")

    assert type(error) is UnavailableError
    assert "cannot reach" in error.message


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("service-account", "{"),
        ("service-account", "{}"),
        ("service-account", '{"type": "authorized_user"}'),
        ("default", "hunter2"),
        ("default", '{"type": "hunter2"}'),
        ("default", "[]"),
        ("default", "\xff"),
        ("default", '{"type": "service_account", "private_key": "hunter2"}'),
    ],
)
def test_a_file_that_is_no_credentials_is_told(
    kms: EmulatedKms, tmp_path: Path, kind: str, text: str
) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(text.encode("latin-1"))

    error = _refused(kms, credential=kind, credentials_file=str(path))

    assert type(error) in (SettingsError, AuthenticationError)
    assert kms.calls() == 0


def test_no_permission_of_the_caller_is_a_denial(kms: EmulatedKms) -> None:
    file = kms.write_key_file("stranger.json", "stranger@demo.iam.gserviceaccount.com")

    error = _refused(kms, credentials_file=str(file))

    assert type(error) is PermissionDeniedError
    assert error.permission == "cloudkms.cryptoKeyVersions.useToEncrypt"
