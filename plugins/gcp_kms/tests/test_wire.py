"""What goes over the wire, and what of the reply is believed."""

from __future__ import annotations

from collections.abc import Mapping

import google_crc32c
import pytest
from google.cloud import kms_v1
from ksm_storage_emulators.faults import FaultKind

from ksm_storage.errors import (
    DecryptionError,
    KeyStateError,
    PluginContractError,
    ProviderError,
    SettingsError,
    UnavailableError,
)
from ksm_storage.plugin import Aad, WrappedDek

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek
from .scripted_kms import KEY, VERSION, ScriptedKms, decrypted, encrypted, replied

ASYMMETRIC = {"purpose": "ASYMMETRIC_DECRYPT"}
RAW = {"purpose": "RAW_ENCRYPT_DECRYPT"}
OAEP = (
    "RSA_DECRYPT_OAEP_2048_SHA1",
    "RSA_DECRYPT_OAEP_2048_SHA256",
    "RSA_DECRYPT_OAEP_4096_SHA512",
)
WRAPPED = WrappedDek(VERSION, "GOOGLE_SYMMETRIC_ENCRYPTION", b"c" * 100)


def test_an_encrypt_sends_the_aad_and_both_checksums(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    scripted.answer = replied(encrypted())

    with open_kek(KEY, scripted_settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

    [(_, body, metadata)] = scripted.asked
    request = kms_v1.EncryptRequest.deserialize(body)
    assert request.name == KEY
    assert request.additional_authenticated_data == bytes(AAD)
    assert request.plaintext_crc32c == google_crc32c.value(DEK)
    assert request.additional_authenticated_data_crc32c == google_crc32c.value(bytes(AAD))
    assert metadata["x-goog-request-params"].startswith("name=projects/demo/")
    assert wrapped == WrappedDek(VERSION, "GOOGLE_SYMMETRIC_ENCRYPTION", b"ciphertext")


def test_a_decrypt_names_the_key_without_version_and_sends_both_checksums(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    scripted.answer = replied(decrypted(DEK))

    with open_kek(VERSION, scripted_settings) as kek:
        assert kek.unwrap(WRAPPED, aad=AAD) == DEK

    [(_, body, _)] = scripted.asked
    request = kms_v1.DecryptRequest.deserialize(body)
    assert request.name == KEY
    assert request.ciphertext_crc32c == google_crc32c.value(WRAPPED.ciphertext)
    assert request.additional_authenticated_data_crc32c == google_crc32c.value(bytes(AAD))


def test_an_encrypt_under_another_version_than_the_one_named_is_refused(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    scripted.answer = replied(encrypted(name=f"{KEY}/cryptoKeyVersions/2"))

    with open_kek(VERSION, scripted_settings) as kek, pytest.raises(ProviderError, match="instead"):
        kek.wrap(DEK, aad=AAD)


def test_a_key_that_is_too_long_is_refused(kms: EmulatedKms) -> None:
    key = kms.create_key()
    with open_kek(key.name, kms.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        kms.emulator.faults.add(FaultKind.OVER_LONG_KEY)

        # The core's own check, for each provider; the checksum is right here.
        with pytest.raises((DecryptionError, PluginContractError)):
            kek.unwrap(wrapped, aad=AAD)


def test_what_was_wrapped_before_a_rotation_opens_after_it(kms: EmulatedKms) -> None:
    key = kms.create_key()
    with open_kek(key.name, kms.settings) as kek:
        old = kek.wrap(DEK, aad=AAD)
        rotated = kms.service.rotate(key)

        new = kek.wrap(DEK, aad=AAD)

        assert (old.key_id, new.key_id) == (f"{key.name}/cryptoKeyVersions/1", rotated)
        assert kek.unwrap(old, aad=AAD) == kek.unwrap(new, aad=AAD) == DEK


def test_an_old_version_that_is_disabled_is_a_key_state_error(kms: EmulatedKms) -> None:
    key = kms.create_key()
    with open_kek(key.name, kms.settings) as kek:
        old = kek.wrap(DEK, aad=AAD)
        kms.service.rotate(key)
        kms.set_state(old.key_id, "DISABLED")

        with pytest.raises(KeyStateError, match="is disabled"):
            kek.unwrap(old, aad=AAD)


def test_a_version_of_which_the_material_is_gone_is_told(kms: EmulatedKms) -> None:
    key = kms.create_key()
    with open_kek(key.name, kms.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        kms.destroy(wrapped.key_id)
        kms.emulator.clock.advance(31 * 24 * 3600)

        with pytest.raises(KeyStateError, match="is destroyed"):
            kek.unwrap(wrapped, aad=AAD)


def test_another_aad_is_refused_by_the_service_itself(kms: EmulatedKms) -> None:
    key = kms.create_key()
    with open_kek(key.name, kms.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

        with pytest.raises(DecryptionError):
            kek.unwrap(wrapped, aad=Aad({**AAD, "env": "test"}))


@pytest.mark.parametrize("algorithm", OAEP)
def test_each_hash_of_oaep_wraps_and_unwraps(kms: EmulatedKms, algorithm: str) -> None:
    version = kms.create_key(algorithm=algorithm).versions[0].name

    with open_kek(version, kms.settings, **ASYMMETRIC) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

        assert wrapped.algorithm == algorithm
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_the_public_key_is_fetched_once(kms: EmulatedKms) -> None:
    version = kms.create_key(algorithm=OAEP[1]).versions[0].name

    with open_kek(version, kms.settings, **ASYMMETRIC) as kek:
        for _ in range(3):
            kek.wrap(DEK, aad=AAD)

    assert kms.emulator.transcript.calls() == {"GetPublicKey": 1}


@pytest.mark.parametrize("fault", [FaultKind.WRONG_CHECKSUM, FaultKind.WRONG_KEY_ID])
def test_a_public_key_that_is_damaged_or_another_is_not_used(
    kms: EmulatedKms, fault: FaultKind
) -> None:
    version = kms.create_key(algorithm=OAEP[1]).versions[0].name
    kms.emulator.faults.add(fault, operation="GetPublicKey")

    with (
        open_kek(version, kms.settings, **ASYMMETRIC) as kek,
        pytest.raises(
            (UnavailableError, ProviderError), match=r"altered|public key that is not that of"
        ),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_public_key_that_signs_is_not_used(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    reply = kms_v1.PublicKey(name=VERSION, algorithm="RSA_SIGN_PSS_2048_SHA256")
    scripted.answer = replied(reply)

    with (
        open_kek(VERSION, scripted_settings, **ASYMMETRIC) as kek,
        pytest.raises(KeyStateError, match="does not decrypt with RSA-OAEP"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_raw_wrap_is_the_iv_before_ciphertext_and_tag(kms: EmulatedKms) -> None:
    version = kms.create_key(algorithm="AES_256_GCM").versions[0].name

    with open_kek(version, kms.settings, **RAW) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

    assert len(wrapped.ciphertext) == 12 + 32 + 16


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"tag_length": 12}, KeyStateError, "is not AES-GCM"),
        ({"initialization_vector": bytes(16)}, KeyStateError, "is not AES-GCM"),
        ({"ciphertext": bytes(47)}, UnavailableError, "of the wrong length"),
    ],
)
def test_a_raw_reply_that_is_not_gcm_is_refused(
    scripted: ScriptedKms,
    scripted_settings: Mapping[str, object],
    changes: dict[str, object],
    kind: type[Exception],
    message: str,
) -> None:
    reply: dict[str, object] = {
        "name": VERSION,
        "ciphertext": bytes(48),
        "initialization_vector": bytes(12),
        "tag_length": 16,
        "verified_plaintext_crc32c": True,
        "verified_additional_authenticated_data_crc32c": True,
        **changes,
    }
    for name in ("ciphertext", "initialization_vector"):
        reply[f"{name}_crc32c"] = google_crc32c.value(reply[name])
    scripted.answer = replied(kms_v1.RawEncryptResponse(reply))

    with (
        open_kek(VERSION, scripted_settings, **RAW) as kek,
        pytest.raises(kind, match=message),
    ):
        kek.wrap(DEK, aad=AAD)


@pytest.mark.parametrize("purpose", [ASYMMETRIC, RAW])
def test_a_key_without_primary_needs_a_version_to_wrap(
    kms: EmulatedKms, purpose: dict[str, object]
) -> None:
    key = kms.create_key(algorithm="AES_256_GCM")

    with (
        open_kek(key.name, kms.settings, **purpose) as kek,
        pytest.raises(SettingsError, match="needs a version"),
    ):
        kek.wrap(DEK, aad=AAD)

    assert kms.calls() == 0


@pytest.mark.parametrize(
    ("algorithm", "purpose"), [("AES_256_GCM", RAW), ("RSA_DECRYPT_OAEP_2048_SHA256", ASYMMETRIC)]
)
def test_a_pinned_key_unwraps_with_the_version_that_the_envelope_records(
    kms: EmulatedKms, algorithm: str, purpose: dict[str, object]
) -> None:
    key = kms.create_key(algorithm=algorithm)
    with open_kek(key.versions[0].name, kms.settings, **purpose) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
    kms.service.rotate(key)

    with open_kek(key.name, kms.settings) as kek:
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_another_purpose_than_the_keys_is_a_key_state_error(kms: EmulatedKms) -> None:
    version = kms.create_key(algorithm="AES_256_GCM").versions[0].name

    with open_kek(version, kms.settings) as kek, pytest.raises(KeyStateError, match="purpose"):
        kek.wrap(DEK, aad=AAD)
