"""Files that Keeper's own package made under a Cloud KMS key move into envelopes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcTransport,
)
from keeper_secrets_manager_storage_gcp_kms import utils as official_calls
from keeper_secrets_manager_storage_gcp_kms.kms_client import GCPKMSClientConfig
from keeper_secrets_manager_storage_gcp_kms.kms_key_config import GCPKeyConfig
from keeper_secrets_manager_storage_gcp_kms.storage_gcp_kms import GCPKeyValueStorage
from ksm_storage_emulators.gcp_kms.keys import CryptoKey

import ksm_storage
from ksm_storage.errors import (
    DecryptionError,
    KsmStorageError,
    PermissionDeniedError,
    SettingsError,
)

from .emulated_kms import EmulatedKms
from .opening import open_kek

CONFIG = {"clientId": "CLIENT", "hostname": "keepersecurity.eu", "privateKey": "PRIVATE"}


class Kind(NamedTuple):
    algorithm: str
    purpose: str


SYMMETRIC = Kind("GOOGLE_SYMMETRIC_ENCRYPTION", "ENCRYPT_DECRYPT")
RAW = Kind("AES_256_GCM", "RAW_ENCRYPT_DECRYPT")
RSA = Kind("RSA_DECRYPT_OAEP_2048_SHA256", "ASYMMETRIC_DECRYPT")
KINDS = [
    SYMMETRIC,
    RAW,
    Kind("RSA_DECRYPT_OAEP_2048_SHA1", "ASYMMETRIC_DECRYPT"),
    RSA,
    Kind("RSA_DECRYPT_OAEP_4096_SHA512", "ASYMMETRIC_DECRYPT"),
]
# One of each purpose, where the algorithm makes no difference.
PURPOSES = [SYMMETRIC, RAW, RSA]


class GoogleClient:
    """Google's client; a key's version template, which the emulator leaves out, is added."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_crypto_key(self, request: dict[str, str]) -> Any:
        key = self._client.get_crypto_key(request)
        version = self._client.get_crypto_key_version(name=f"{key.name}/cryptoKeyVersions/1")
        key.version_template = {"algorithm": version.algorithm}
        return key


def settings_for(kind: Kind) -> dict[str, dict[str, object]]:
    return {"gcp-kms": {"purpose": kind.purpose}}


class Sealed(NamedTuple):
    made: CryptoKey
    content: bytes

    @property
    def key(self) -> str:
        return self.made.name

    @property
    def version(self) -> str:
        return f"{self.key}/cryptoKeyVersions/1"


class Official:
    """Make files with the official package against the emulator, one of each kind."""

    def __init__(self, kms: EmulatedKms, sealed: dict[Kind, Sealed]) -> None:
        self._kms = kms
        self._sealed = sealed

    def sealed(self, kind: Kind, path: Path) -> Sealed:
        """Write a file of the kind."""
        if kind not in self._sealed:
            self._sealed[kind] = self._newly_sealed(kind, path)
        path.write_bytes(self._sealed[kind].content)
        return self._sealed[kind]

    def _newly_sealed(self, kind: Kind, path: Path) -> Sealed:
        key = self._kms.create_key(algorithm=kind.algorithm)
        path.write_text(json.dumps(CONFIG))
        session = GCPKMSClientConfig().create_client_from_credentials_file(str(self._kms.key_file))
        session.kms_client = self.client(session.getToken())
        GCPKeyValueStorage(str(path), GCPKeyConfig(f"{key.name}/cryptoKeyVersions/1"), session)
        content = path.read_bytes()
        assert content.startswith(b"\xff\xff")
        return Sealed(key, content)

    def client(self, token: str) -> GoogleClient:
        """Return Google's client, sent to the emulator."""
        assert self._kms.ca_file is not None
        credentials = grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(self._kms.ca_file.read_bytes()),
            grpc.access_token_call_credentials(token),
        )
        channel = grpc.secure_channel(self._kms.service.grpc_address, credentials)
        transport = KeyManagementServiceGrpcTransport(channel=channel)
        return GoogleClient(kms_v1.KeyManagementServiceClient(transport=transport))


@pytest.fixture(scope="module")
def already_sealed() -> dict[Kind, Sealed]:
    """Keep the files over the tests: to make RSA keys takes time."""
    return {}


@pytest.fixture
def official(
    kms_tls: EmulatedKms, already_sealed: dict[Kind, Sealed], monkeypatch: pytest.MonkeyPatch
) -> Official:
    for name, value in kms_tls.settings.items():
        monkeypatch.setenv(f"KSM_STORAGE_GCP_KMS_{name.upper()}", str(value))
    # The package's own requests for tokens must trust the emulator.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(kms_tls.ca_file))
    address = f"{kms_tls.url}/v1/{{0}}:rawEncrypt"
    monkeypatch.setattr(official_calls, "RAW_ENCRYPT_GCP_API_URL", address)
    return Official(kms_tls, already_sealed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.json"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.algorithm)
def test_protect_moves_a_file_of_the_official_package(
    official: Official, path: Path, kind: Kind
) -> None:
    sealed, settings = official.sealed(kind, path), settings_for(kind)

    done = ksm_storage.protect(path, [f"gcp-kms://{sealed.version}"], settings=settings)

    assert done.form.value == "official"
    assert ksm_storage.open_storage(path).read_storage() == CONFIG


def test_open_storage_moves_a_file_of_the_official_package(official: Official, path: Path) -> None:
    sealed = official.sealed(SYMMETRIC, path)

    storage = ksm_storage.open_storage(path, keys=[sealed.version])

    assert storage.read_storage() == CONFIG
    assert path.read_bytes().startswith(b"ksm-storage envelope v1\n")


def test_a_file_under_a_symmetric_key_opens_after_a_rotation(
    official: Official, path: Path, kms_tls: EmulatedKms
) -> None:
    sealed = official.sealed(SYMMETRIC, path)
    kms_tls.service.rotate(sealed.made)

    ksm_storage.protect(path, [sealed.key])

    assert ksm_storage.open_storage(path).read_storage() == CONFIG


@pytest.mark.parametrize("kind", PURPOSES, ids=lambda kind: kind.purpose)
def test_the_old_key_need_not_be_the_new_one(
    official: Official, path: Path, kms_tls: EmulatedKms, kind: Kind
) -> None:
    sealed = official.sealed(kind, path)
    old, new = f"gcp-kms://{sealed.version}", f"gcp-kms://{kms_tls.create_key().name}"

    ksm_storage.protect(path, [new], from_key=old, settings={old: {"purpose": kind.purpose}})

    assert ksm_storage.open_storage(path, keys=[new]).read_storage() == CONFIG


@pytest.mark.parametrize("kind", PURPOSES, ids=lambda kind: kind.purpose)
def test_another_key_leaves_the_file_as_it_was(
    official: Official, path: Path, kms_tls: EmulatedKms, kind: Kind
) -> None:
    sealed = official.sealed(kind, path)
    other = kms_tls.create_key(algorithm=kind.algorithm).name

    with pytest.raises(DecryptionError):
        ksm_storage.protect(path, [f"{other}/cryptoKeyVersions/1"], settings=settings_for(kind))

    assert path.read_bytes() == sealed.content


@pytest.mark.parametrize("kind", PURPOSES, ids=lambda kind: kind.purpose)
def test_a_refused_key_leaves_the_file_as_it_was(
    official: Official, path: Path, kms_tls: EmulatedKms, kind: Kind
) -> None:
    sealed = official.sealed(kind, path)

    with kms_tls.provoked("denied", sealed.version), pytest.raises(PermissionDeniedError):
        ksm_storage.protect(path, [sealed.version], settings=settings_for(kind))

    assert path.read_bytes() == sealed.content


@pytest.mark.parametrize("kind", PURPOSES[1:], ids=lambda kind: kind.purpose)
def test_a_key_without_primary_version_needs_a_version(
    official: Official, path: Path, kind: Kind
) -> None:
    sealed = official.sealed(kind, path)

    with pytest.raises(SettingsError, match="needs a version"):
        ksm_storage.protect(path, [sealed.key], settings=settings_for(kind))

    assert path.read_bytes() == sealed.content


@pytest.mark.parametrize(
    ("kind", "position"),
    [
        pytest.param(SYMMETRIC, 3, id="length of the wrapped key"),
        pytest.param(SYMMETRIC, 40, id="symmetric wrapped key"),
        pytest.param(SYMMETRIC, -1, id="configuration"),
        pytest.param(RAW, 5, id="length in the raw wrapped key"),
        pytest.param(RAW, 6, id="initialization vector"),
        pytest.param(RAW, 40, id="raw wrapped key"),
        pytest.param(RSA, 40, id="asymmetric wrapped key"),
    ],
)
def test_damage_leaves_the_file_as_it_was(
    official: Official, path: Path, kind: Kind, position: int
) -> None:
    sealed = official.sealed(kind, path)
    damaged = bytearray(sealed.content)
    damaged[position] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(KsmStorageError):
        ksm_storage.protect(path, [sealed.version], settings=settings_for(kind))

    assert path.read_bytes() == bytes(damaged)


@pytest.mark.parametrize("purpose", [kind.purpose for kind in PURPOSES])
def test_an_empty_wrapped_key_is_refused_without_a_call(kms: EmulatedKms, purpose: str) -> None:
    key = f"{kms.create_key().name}/cryptoKeyVersions/1"
    kms.emulator.reset()

    with (
        open_kek(key, kms.settings, purpose=purpose) as kek,
        pytest.raises(DecryptionError, match="empty"),
    ):
        kek.decrypt_official(b"")

    assert kms.calls() == 0


@pytest.mark.parametrize("junk", [bytes(62), b"\0\x3c" + bytes(59), b"\0\x3c" + bytes(61)])
def test_a_raw_key_of_another_form_is_refused_without_a_call(kms: EmulatedKms, junk: bytes) -> None:
    key = f"{kms.create_key(algorithm=RAW.algorithm).name}/cryptoKeyVersions/1"
    kms.emulator.reset()

    with (
        open_kek(key, kms.settings, purpose=RAW.purpose) as kek,
        pytest.raises(DecryptionError, match="not a raw key"),
    ):
        kek.decrypt_official(junk)

    assert kms.calls() == 0
