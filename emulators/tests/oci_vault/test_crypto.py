"""Encrypt and decrypt, and each documented refusal."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import oci
import pytest
from oci.key_management.models import GenerateKeyDetails, KeyShape, ScheduleKeyDeletionDetails

from ksm_storage_emulators.oci_vault.errors import ERRORS
from ksm_storage_emulators.oci_vault.identities import Grant

from .conftest import Clients, OciVault
from .crypto_requests import DATA, DEK, decrypt, encrypt, plaintext_of, refused

RSA = "RSA_OAEP_SHA_256"


def _altered(ciphertext: str, position: int) -> str:
    raw = bytearray(base64.b64decode(ciphertext))
    raw[position] ^= 1
    return base64.b64encode(raw).decode()


def test_what_was_encrypted_decrypts_with_key_version_and_checksum(
    crypto: Any, key_id: str
) -> None:
    sealed = encrypt(crypto, key_id, associated_data=DATA)
    reply = decrypt(
        crypto,
        key_id,
        sealed.ciphertext,
        key_version_id=sealed.key_version_id,
        associated_data=dict(reversed(DATA.items())),
    )

    assert plaintext_of(reply) == DEK
    assert (reply.key_id, reply.key_version_id) == (key_id, sealed.key_version_id)
    assert reply.plaintext_checksum == str(zlib.crc32(DEK))
    assert reply.encryption_algorithm == "AES_256_GCM"


def test_the_checksum_is_the_recorded_one(crypto: Any, key_id: str) -> None:
    sealed = encrypt(crypto, key_id, plaintext=b"HELLO WORLD")

    assert decrypt(crypto, key_id, sealed.ciphertext).plaintext_checksum == "2279966299"


@pytest.mark.parametrize("algorithm", ["RSA_OAEP_SHA_1", RSA])
def test_an_rsa_key_encrypts_by_either_hash(
    oci_vault: OciVault, crypto: Any, algorithm: str
) -> None:
    key_id = oci_vault.service.create_key(algorithm="RSA").ocid
    sealed = encrypt(crypto, key_id, encryption_algorithm=algorithm)

    reply = decrypt(crypto, key_id, sealed.ciphertext, encryption_algorithm=algorithm)

    assert plaintext_of(reply) == DEK
    assert len(base64.b64decode(sealed.ciphertext)) == 256


@pytest.mark.parametrize("position", [0, 1, 16, 17, 29, -1])
def test_damage_anywhere_is_an_invalid_parameter(crypto: Any, key_id: str, position: int) -> None:
    ciphertext = _altered(encrypt(crypto, key_id).ciphertext, position)

    assert refused(lambda: decrypt(crypto, key_id, ciphertext)) == (400, "InvalidParameter")


@pytest.mark.parametrize("data", [{}, {"env": "prod"}, {"env": "pro", "app": "dksm"}])
def test_other_associated_data_are_an_invalid_parameter(
    crypto: Any, key_id: str, data: dict[str, str]
) -> None:
    ciphertext = encrypt(crypto, key_id, associated_data=DATA).ciphertext

    refusal = refused(lambda: decrypt(crypto, key_id, ciphertext, associated_data=data))

    assert refusal == (400, "InvalidParameter")


def test_another_key_is_an_invalid_parameter(oci_vault: OciVault, crypto: Any, key_id: str) -> None:
    other = oci_vault.service.create_key().ocid
    ciphertext = encrypt(crypto, key_id).ciphertext

    assert refused(lambda: decrypt(crypto, other, ciphertext)) == (400, "InvalidParameter")


def test_every_version_decrypts_what_it_encrypted(
    crypto: Any, management: Any, key_id: str
) -> None:
    before = encrypt(crypto, key_id)
    version = management.create_key_version(key_id).data
    after = encrypt(crypto, key_id)
    pinned = encrypt(crypto, key_id, key_version_id=before.key_version_id)

    assert after.key_version_id == version.id
    assert pinned.key_version_id == before.key_version_id
    for sealed in (before, after, pinned):
        assert plaintext_of(decrypt(crypto, key_id, sealed.ciphertext)) == DEK
    wrong = refused(lambda: decrypt(crypto, key_id, before.ciphertext, key_version_id=version.id))
    assert wrong == (400, "InvalidParameter")


def test_an_rsa_ciphertext_of_before_a_rotation_needs_its_version(
    oci_vault: OciVault, crypto: Any, management: Any
) -> None:
    key_id = oci_vault.service.create_key(algorithm="RSA").ocid
    sealed = encrypt(crypto, key_id, encryption_algorithm=RSA)
    management.create_key_version(key_id)
    details = {"encryption_algorithm": RSA}

    refusal = refused(lambda: decrypt(crypto, key_id, sealed.ciphertext, **details))
    named = decrypt(
        crypto, key_id, sealed.ciphertext, key_version_id=sealed.key_version_id, **details
    )

    assert refusal == (400, "InvalidParameter")
    assert plaintext_of(named) == DEK


REFUSED_DETAILS = {
    "plaintext of 4097 bytes": {"plaintext": bytes(4097)},
    "associated data of 4096 characters": {"associated_data": {"a": "b" * 4090}},
    "algorithm of an RSA key": {"encryption_algorithm": RSA},
}


@pytest.mark.parametrize("details", REFUSED_DETAILS.values(), ids=REFUSED_DETAILS)
def test_what_encrypt_does_not_take_is_an_invalid_parameter(
    crypto: Any, key_id: str, details: dict[str, Any]
) -> None:
    assert refused(lambda: encrypt(crypto, key_id, **details)) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    "details",
    [{}, {"encryption_algorithm": RSA, "associated_data": DATA}],
    ids=["no algorithm", "associated data"],
)
def test_an_rsa_key_takes_neither_the_default_algorithm_nor_associated_data(
    oci_vault: OciVault, crypto: Any, details: dict[str, Any]
) -> None:
    key_id = oci_vault.service.create_key(algorithm="RSA").ocid

    assert refused(lambda: encrypt(crypto, key_id, **details)) == (400, "InvalidParameter")


def test_an_rsa_key_takes_no_plaintext_beyond_its_length(oci_vault: OciVault, crypto: Any) -> None:
    key_id = oci_vault.service.create_key(algorithm="RSA").ocid
    details = {"encryption_algorithm": RSA}

    encrypt(crypto, key_id, plaintext=bytes(190), **details)

    refusal = refused(lambda: encrypt(crypto, key_id, plaintext=bytes(191), **details))
    assert refusal == (400, "InvalidParameter")


def test_a_disabled_key_is_in_an_incorrect_state(crypto: Any, management: Any, key_id: str) -> None:
    ciphertext = encrypt(crypto, key_id).ciphertext
    assert management.disable_key(key_id).data.lifecycle_state == "DISABLED"

    assert refused(lambda: encrypt(crypto, key_id)) == (409, "IncorrectState")
    assert refused(lambda: decrypt(crypto, key_id, ciphertext)) == (409, "IncorrectState")
    assert refused(lambda: management.disable_key(key_id)) == (409, "IncorrectState")
    management.enable_key(key_id)
    assert plaintext_of(decrypt(crypto, key_id, ciphertext)) == DEK


def test_a_key_pending_deletion_comes_back_or_goes(
    oci_vault: OciVault, crypto: Any, management: Any, key_id: str
) -> None:
    ciphertext = encrypt(crypto, key_id).ciphertext
    soon = ScheduleKeyDeletionDetails(time_of_deletion=datetime.now(UTC) + timedelta(days=8))
    management.schedule_key_deletion(key_id, soon)
    assert refused(lambda: decrypt(crypto, key_id, ciphertext)) == (409, "IncorrectState")
    management.cancel_key_deletion(key_id)
    assert plaintext_of(decrypt(crypto, key_id, ciphertext)) == DEK
    management.schedule_key_deletion(key_id, soon)

    oci_vault.clock.advance(9 * 86_400)

    gone = (404, "NotAuthorizedOrNotFound")
    assert refused(lambda: decrypt(crypto, key_id, ciphertext)) == gone
    assert refused(lambda: management.get_key(key_id)) == gone


def test_a_deletion_of_tomorrow_is_an_invalid_parameter(management: Any, key_id: str) -> None:
    tomorrow = ScheduleKeyDeletionDetails(time_of_deletion=datetime.now(UTC) + timedelta(days=1))

    refusal = refused(lambda: management.schedule_key_deletion(key_id, tomorrow))

    assert refusal == (400, "InvalidParameter")


def test_a_denied_caller_and_a_missing_key_cannot_be_told_apart(
    oci_vault: OciVault, clients: Clients, crypto: Any, key_id: str
) -> None:
    reader = oci_vault.service.identities.add_user([Grant("KEY_DECRYPT", key_id)])
    ciphertext = encrypt(crypto, key_id).ciphertext
    missing = key_id[:-4] + "aaaa"
    seen = []
    for client, name in ((clients.crypto(reader), key_id), (crypto, missing)):
        with pytest.raises(oci.exceptions.ServiceError) as caught:
            encrypt(client, name)
        seen.append((caught.value.status, caught.value.code, caught.value.message))

    assert plaintext_of(decrypt(clients.crypto(reader), key_id, ciphertext)) == DEK
    assert seen[0] == seen[1]
    assert seen[0][:2] == (404, "NotAuthorizedOrNotFound")


def test_a_generated_key_decrypts_to_itself(crypto: Any, key_id: str) -> None:
    details = GenerateKeyDetails(
        key_id=key_id,
        include_plaintext_key=True,
        key_shape=KeyShape(algorithm="AES", length=32),
        associated_data=DATA,
    )

    made = crypto.generate_data_encryption_key(details).data

    opened = decrypt(crypto, key_id, made.ciphertext, associated_data=DATA)
    assert opened.plaintext == made.plaintext
    assert opened.plaintext_checksum == made.plaintext_checksum


def test_a_version_that_was_deleted_decrypts_no_more(
    oci_vault: OciVault, crypto: Any, management: Any, key_id: str
) -> None:
    old = encrypt(crypto, key_id)
    management.create_key_version(key_id)
    management.schedule_key_version_deletion(
        key_id, old.key_version_id, oci.key_management.models.ScheduleKeyVersionDeletionDetails()
    )

    pending = refused(lambda: decrypt(crypto, key_id, old.ciphertext))
    oci_vault.clock.advance(31 * 86_400)

    assert pending == (409, "IncorrectState")
    assert refused(lambda: decrypt(crypto, key_id, old.ciphertext))[0] == 404


def test_every_error_cites_a_page_of_the_service() -> None:
    for status, page in ERRORS.values():
        assert page.startswith("https://docs.oracle.com/")
        assert 400 <= status < 600
