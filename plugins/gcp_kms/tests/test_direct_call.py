"""The direct call is signed as Google's library signs, and has never another result."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from google.auth.crypt import RSASigner
from google.oauth2 import service_account
from google.rpc import error_details_pb2
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR
from ksm_storage_gcp_kms.direct_call import credential_source, signed_token, unwrap
from ksm_storage_gcp_kms.errors import REASONS, STATES
from ksm_storage_gcp_kms.hooks import SCOPES

from ksm_storage import errors
from ksm_storage.plugin import NotDirectError, WrappedDek

from . import test_errors
from .direct import access_of, started, told, wrapped_dek
from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek
from .scripted_kms import KEY, VERSION, Answer, ScriptedKms, decrypted, info, refused, replied

RSA = "RSA_DECRYPT_OAEP_2048_SHA256"
WRAPPED = WrappedDek(VERSION, "GOOGLE_SYMMETRIC_ENCRYPTION", b"c" * 100)


def _state(state: str) -> Answer:
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(type=f"KEY_{state}", subject=VERSION)
    return refused("FAILED_PRECONDITION", details=[failure])


# Each row of the error tables, and each reply that is not believed.
ROWS: Mapping[str, Answer] = {
    **{code: refused(code) for code in test_errors.CODE_ROWS},
    **{
        reason: refused(test_errors.REASON_ROWS[reason][0], details=[info(reason)])
        for reason in REASONS
    },
    **{state: _state(state) for state in STATES},
    "damaged request": refused("INVALID_ARGUMENT", text="The checksum in field x_crc32c ..."),
    **test_errors.TestReplies.unreadable_deks,
    "empty": replied(b""),
    "over-long": replied(decrypted(DEK + b"\0")),
}


def test_a_token_is_signed_as_googles_library_signs_it(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = json.loads(kms.key_file.read_text())
    # Google's constructor from the file checks the same key's primes for each request.
    key = serialization.load_pem_private_key(account["private_key"].encode(), None)
    choose = random.Random(7)

    for _ in range(2000):
        now = choose.randrange(1, 2**32)
        monkeypatch.setattr("time.time", lambda now=now: now + 0.9)
        moment = datetime.fromtimestamp(now, UTC).replace(tzinfo=None)
        monkeypatch.setattr("google.auth._helpers.utcnow", lambda moment=moment: moment)
        account["client_email"] = f'{choose.randbytes(choose.randrange(30)).hex()}+"\\/@demo.com'
        account["private_key_id"] = choose.randbytes(choose.randrange(1, 30)).hex()
        credentials = service_account.Credentials(
            RSASigner(key, account["private_key_id"]),
            account["client_email"],
            account["token_uri"],
            scopes=SCOPES,
            always_use_jwt_access=True,
        )
        credentials.refresh(None)

        assert signed_token(account) == credentials.token


@pytest.mark.parametrize("algorithm", ["GOOGLE_SYMMETRIC_ENCRYPTION", RSA])
def test_a_start_makes_one_call_and_imports_no_google_client(
    kms_tls: EmulatedKms, algorithm: str
) -> None:
    key, wrapped = wrapped_dek(kms_tls, algorithm)

    assert started(key, kms_tls.settings, wrapped) == ""
    assert [asked.method for asked in kms_tls.emulator.transcript.exchanges()] == ["POST"]


@pytest.mark.parametrize("credential", ["metadata", "default"])
def test_a_start_with_the_metadata_server_makes_two_requests(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, credential: str
) -> None:
    key, wrapped = wrapped_dek(kms)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_HOST", kms.emulator.url.removeprefix("http://"))
    monkeypatch.setattr(kms.service.endpoints, "instance_account", ADMINISTRATOR)
    settings = {"endpoint": kms.url, "credential": credential}

    assert started(key, settings, wrapped) == ""
    assert kms.emulator.transcript.calls() == {"Metadata": 1, "Decrypt": 1}


def test_the_second_call_goes_through_the_client(kms: EmulatedKms) -> None:
    key, wrapped = wrapped_dek(kms)

    with open_kek(key, kms.settings) as kek:
        for _ in range(3):
            assert kek.unwrap(wrapped, aad=AAD) == DEK

    methods = [asked.method for asked in kms.emulator.transcript.exchanges()]
    assert methods == ["POST", "gRPC", "gRPC"]


def test_the_setting_turns_it_off(kms: EmulatedKms) -> None:
    key, wrapped = wrapped_dek(kms)

    with open_kek(key, kms.settings, direct_call=False) as kek:
        kek.unwrap(wrapped, aad=AAD)

    assert [asked.method for asked in kms.emulator.transcript.exchanges()] == ["gRPC"]


def test_a_raw_key_is_left_to_the_client(kms: EmulatedKms) -> None:
    key, wrapped = wrapped_dek(kms, "AES_256_GCM")

    with open_kek(key, kms.settings) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK

    assert [asked.method for asked in kms.emulator.transcript.exchanges()] == ["gRPC"]


@pytest.mark.usefixtures("one_attempt")
@pytest.mark.parametrize("row", ROWS)
def test_a_failure_is_the_same_error_as_the_client_makes_alone(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], row: str
) -> None:
    scripted.answer = ROWS[row]
    errors_told = []

    for is_direct in (True, False):
        scripted.asked.clear()
        with (
            open_kek(KEY, scripted_settings, direct_call=is_direct) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.unwrap(WRAPPED, aad=AAD)
        errors_told.append(told(caught.value))
        # A longer key was delivered; the rest is asked for again by the client.
        assert len(scripted.asked) == 1 + (is_direct and row != "over-long")

    assert errors_told[0] == errors_told[1]


@pytest.mark.usefixtures("one_attempt")
@pytest.mark.parametrize("algorithm", ["GOOGLE_SYMMETRIC_ENCRYPTION", RSA])
@pytest.mark.parametrize(
    "fault",
    [
        *("disabled", "to be destroyed", "denied", "throttled", "failing", "dropped", "cut off"),
        *("damaged", "another context"),
    ],
)
def test_a_fault_of_the_service_is_the_same_error(
    kms_tls: EmulatedKms, fault: str, algorithm: str
) -> None:
    key, wrapped = wrapped_dek(kms_tls, algorithm)
    aad = AAD
    if fault == "another context":
        if algorithm == RSA:
            wrapped = WrappedDek(wrapped.key_id, wrapped.algorithm, wrapped.ciphertext[::-1])
        aad = type(AAD)({"purpose": "other"})
    errors_told = []

    for is_direct in (True, False):
        kms_tls.emulator.transcript.reset()
        struck = kms_tls.provoked(fault, wrapped.key_id) if fault != "another context" else None
        with (
            struck or nullcontext(),
            open_kek(key, kms_tls.settings, direct_call=is_direct, deadline=3.0) as kek,
            pytest.raises(errors.KsmStorageError) as caught,
        ):
            kek.unwrap(wrapped, aad=aad)
        asked = [
            each.method
            for each in kms_tls.emulator.transcript.exchanges()
            if each.operation.endswith("Decrypt")
        ]
        assert asked == (["POST", "gRPC"] if is_direct else ["gRPC"])
        errors_told.append(told(caught.value))

    assert errors_told[0] == errors_told[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user an empty folder, and no variable of the cloud's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("GCE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "settings", "variables", "source"),
    [
        ("account.json", {"credential": "service-account", "credentials_file": "F"}, {}, "key"),
        ("account.json", {"credentials_file": "F"}, {}, "key"),
        ("account.json", {}, {"GOOGLE_APPLICATION_CREDENTIALS": "F"}, "key"),
        (".config/gcloud/application_default_credentials.json", {}, {}, "key"),
        (None, {}, {}, "metadata server"),
        (None, {"credential": "metadata"}, {"NO_GCE_CHECK": "true"}, "metadata server"),
        (None, {"endpoint": "https://kms-x.p.googleapis.com"}, {}, "metadata server"),
    ],
    ids=str,
)
def test_plain_credentials_are_used(
    kms: EmulatedKms,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str | None,
    settings: dict[str, str],
    variables: dict[str, str],
    source: str,
) -> None:
    path = home / str(place)
    if place is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kms.key_file.read_bytes())

    access = access_of(path, monkeypatch, settings, variables)

    assert credential_source(access).endswith(source)


@pytest.mark.parametrize(
    ("change", "settings", "variables"),
    [
        ({"type": "authorized_user"}, {}, {}),
        ({"type": "external_account"}, {}, {}),
        ({"universe_domain": "other.example"}, {}, {}),
        ({"quota_project_id": "billing"}, {}, {}),
        ({"something_of_tomorrow": "1"}, {}, {}),
        ({}, {"quota_project": "billing"}, {}),
        ({}, {"direct_call": "false"}, {}),
        (
            {},
            {"credential": "impersonation", "impersonate_service_account": "app@demo.example"},
            {},
        ),
        ({}, {}, {"GOOGLE_CLOUD_QUOTA_PROJECT": "billing"}),
        ({}, {}, {"GOOGLE_API_USE_CLIENT_CERTIFICATE": "true"}),
        ({}, {}, {"GOOGLE_CLOUD_UNIVERSE_DOMAIN": "other.example"}),
        ({}, {}, {"GOOGLE_SOMETHING_OF_TOMORROW": "1"}),
        ({}, {}, {"CLOUDSDK_CONFIG": "/other"}),
        (None, {}, {"GCE_METADATA_MTLS_MODE": "strict"}),
        (None, {}, {"NO_GCE_CHECK": "true"}),
    ],
    ids=str,
)
def test_anything_else_is_left_to_the_client(
    kms: EmulatedKms,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str] | None,
    settings: dict[str, str],
    variables: dict[str, str],
) -> None:
    path = home / "credentials.json"
    if change is not None:
        path.write_text(json.dumps({**json.loads(kms.key_file.read_text()), **change}))
        settings = {**settings, "credentials_file": "F"}

    access = access_of(path, monkeypatch, settings, variables)

    with pytest.raises(NotDirectError):
        credential_source(access)


def test_a_direct_call_trusts_the_authorities_of_grpc(
    kms_tls: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, wrapped = wrapped_dek(kms_tls)
    given = {name: str(value) for name, value in kms_tls.settings.items()}
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", given.pop("ca_file"))

    assert credential_source(access_of(Path(), monkeypatch, given, {})).endswith("key")
    assert started(key, given, wrapped) == ""


def test_the_token_of_another_server_than_the_metadata_server_is_not_sent(
    kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It grants tokens, and does not say that it is the metadata server.
    monkeypatch.setattr("ksm_storage_emulators.gcp_kms.token_endpoints._FLAVOR", {})
    monkeypatch.setattr(kms.service.endpoints, "instance_account", ADMINISTRATOR)
    monkeypatch.setenv("GCE_METADATA_HOST", kms.emulator.url.removeprefix("http://"))
    access = access_of(Path(), monkeypatch, {"endpoint": kms.url, "credential": "metadata"}, {})
    request = {"name": kms.create_key().name, "ciphertext": b"c"}

    with pytest.raises(NotDirectError, match="metadata server"):
        unwrap(access, "decrypt", request)

    assert kms.emulator.transcript.calls() == {"Metadata": 1}
