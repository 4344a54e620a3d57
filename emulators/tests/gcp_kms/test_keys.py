"""Keys, versions, rotation and states, through the real client library."""

from __future__ import annotations

from uuid import uuid4

import pytest
from google.api_core.exceptions import (
    AlreadyExists,
    FailedPrecondition,
    GoogleAPICallError,
    InvalidArgument,
    NotFound,
)

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.keys import DESTROY_AFTER_SECONDS
from ksm_storage_emulators.gcp_kms.service import KEY_RING, GcpKmsService

from .conftest import Caller

Kms = Emulator[GcpKmsService]


@pytest.fixture
def name(kms: Kms) -> str:
    """Return the name of a symmetric key."""
    return kms.service.create_key(f"key-{uuid4().hex}").name


def test_a_ciphertext_of_an_old_version_decrypts_after_a_rotation(call: Caller, name: str) -> None:
    old = call("encrypt", name=name, plaintext=b"p", additional_authenticated_data=b"a")
    created = call("create_crypto_key_version", parent=name)
    number = created.name.rpartition("/")[2]
    call("update_crypto_key_primary_version", name=name, crypto_key_version_id=number)

    new = call("encrypt", name=name, plaintext=b"p")
    reply = call(
        "decrypt", name=name, ciphertext=old.ciphertext, additional_authenticated_data=b"a"
    )

    assert (old.name[-1], new.name[-1]) == ("1", "2")
    assert reply.plaintext == b"p"
    assert reply.used_primary is False


def test_another_aad_does_not_decrypt(call: Caller, name: str) -> None:
    sealed = call("encrypt", name=name, plaintext=b"p", additional_authenticated_data=b"a")

    with pytest.raises(InvalidArgument, match="the ciphertext is invalid"):
        call("decrypt", name=name, ciphertext=sealed.ciphertext)


@pytest.mark.parametrize("position", range(0, 150, 7))
def test_no_damaged_ciphertext_decrypts(call: Caller, name: str, position: int) -> None:
    ciphertext = bytearray(call("encrypt", name=name, plaintext=b"p").ciphertext)
    ciphertext[position % len(ciphertext)] ^= 1

    with pytest.raises(InvalidArgument):
        call("decrypt", name=name, ciphertext=bytes(ciphertext))


def test_checksums_are_confirmed_only_when_they_were_sent(call: Caller, name: str) -> None:
    reply = call("encrypt", name=name, plaintext=b"p")

    assert reply.verified_plaintext_crc32c is False


def test_a_destroyed_version_never_comes_back(kms: Kms, call: Caller, name: str) -> None:
    version = f"{name}/cryptoKeyVersions/1"
    call("destroy_crypto_key_version", name=version)
    kms.clock.advance(DESTROY_AFTER_SECONDS)

    assert call("get_crypto_key_version", name=version).state.name == "DESTROYED"
    with pytest.raises(FailedPrecondition):
        call("restore_crypto_key_version", name=version)


def test_a_version_that_is_restored_is_disabled(call: Caller, name: str) -> None:
    version = f"{name}/cryptoKeyVersions/1"
    call("destroy_crypto_key_version", name=version)

    assert call("restore_crypto_key_version", name=version).state.name == "DISABLED"


def test_a_key_tells_its_purpose_and_primary(call: Caller, name: str) -> None:
    key = call("get_crypto_key", name=name)

    assert key.purpose.name == "ENCRYPT_DECRYPT"
    assert key.primary.name == f"{name}/cryptoKeyVersions/1"


def test_a_raw_key_takes_no_iv_of_the_caller(kms: Kms, call: Caller) -> None:
    key = kms.service.create_key(f"key-{uuid4().hex}", algorithm="AES_256_GCM")

    with pytest.raises(InvalidArgument, match="initialization_vector"):
        call(
            "raw_encrypt",
            name=key.versions[0].name,
            plaintext=b"p",
            initialization_vector=bytes(12),
        )


def test_an_hsm_key_takes_8_kib_with_the_aad(kms: Kms, call: Caller) -> None:
    key = kms.service.create_key(f"key-{uuid4().hex}", protection_level="HSM")

    call("encrypt", name=key.name, plaintext=bytes(8000), additional_authenticated_data=bytes(192))
    with pytest.raises(InvalidArgument, match="8192"):
        call(
            "encrypt",
            name=key.name,
            plaintext=bytes(8000),
            additional_authenticated_data=bytes(193),
        )


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.TRUNCATE])
def test_a_broken_reply_is_a_failure_of_the_client(
    kms: Kms, call: Caller, name: str, kind: FaultKind
) -> None:
    kms.faults.add(kind, times=1)

    with pytest.raises(GoogleAPICallError):
        call("encrypt", name=name, plaintext=b"p")
    assert call("encrypt", name=name, plaintext=b"p").ciphertext


def test_a_hanging_call_ends_with_the_emulator() -> None:
    import grpc

    with Emulator(GcpKmsService()) as emulator:
        emulator.faults.add(FaultKind.HANG)
        channel = grpc.insecure_channel(emulator.service.grpc_address)
        method = "/google.cloud.kms.v1.KeyManagementService/Encrypt"
        pending = channel.unary_unary(method).future(b"", timeout=20)
    with pytest.raises(grpc.RpcError):
        pending.result(timeout=5)
    channel.close()


def test_the_transcript_has_the_calls_of_both_listeners(kms: Kms, call: Caller, name: str) -> None:
    call("encrypt", name=name, plaintext=b"p")

    [exchange] = kms.transcript.exchanges()
    assert (exchange.operation, exchange.method, exchange.status) == ("Encrypt", "gRPC", 200)


@pytest.mark.parametrize(
    ("purpose", "template"),
    [
        ("ENCRYPT_DECRYPT", {}),
        ("ENCRYPT_DECRYPT", {"algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION"}),
        ("ASYMMETRIC_SIGN", {"algorithm": "EC_SIGN_P256_SHA256", "protection_level": "HSM"}),
    ],
)
def test_a_key_is_created_with_its_first_version(
    call: Caller, purpose: str, template: dict[str, str]
) -> None:
    key_id = f"key-{uuid4().hex}"
    wanted = {"purpose": purpose, "version_template": template}

    created = call("create_crypto_key", parent=KEY_RING, crypto_key_id=key_id, crypto_key=wanted)

    assert created.name == f"{KEY_RING}/cryptoKeys/{key_id}"
    assert created.purpose.name == purpose
    assert bool(created.primary.name) is (purpose == "ENCRYPT_DECRYPT")
    version = call("get_crypto_key_version", name=f"{created.name}/cryptoKeyVersions/1")
    assert version.state.name == "ENABLED"
    with pytest.raises(AlreadyExists):
        call("create_crypto_key", parent=KEY_RING, crypto_key_id=key_id, crypto_key=wanted)


def test_an_algorithm_that_does_not_fit_the_purpose_creates_nothing(call: Caller, kms: Kms) -> None:
    wanted = {
        "purpose": "ENCRYPT_DECRYPT",
        "version_template": {"algorithm": "EC_SIGN_P256_SHA256"},
    }

    with pytest.raises(InvalidArgument):
        call("create_crypto_key", parent=KEY_RING, crypto_key_id="unfit", crypto_key=wanted)
    with pytest.raises(NotFound):
        call("get_crypto_key", name=f"{KEY_RING}/cryptoKeys/unfit")
