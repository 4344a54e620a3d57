"""What is asked of KMS, how often, and which replies are not believed."""

from __future__ import annotations

import base64

import pytest

from ksm_storage.errors import DecryptionError, KeyStateError
from ksm_storage.plugin import WrappedDek

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, ScriptedKms, unwrapped, wrapped

OTHER_ARN = ARN.replace("1234abcd", "0987dcba")
MRK = ARN.rpartition("/")[0] + "/mrk-1234abcd12ab34cd56ef1234567890ab"
CIPHERTEXT = b"c" * 150
SYMMETRIC = WrappedDek(ARN, "SYMMETRIC_DEFAULT", CIPHERTEXT)
RSA = WrappedDek(ARN, "RSAES_OAEP_SHA_256", CIPHERTEXT)


def test_a_wrap_is_one_call_that_names_the_key_the_algorithm_and_the_context(
    scripted: ScriptedKms,
) -> None:
    scripted.answer = wrapped()

    with open_kek(ARN, scripted.url) as kek:
        kek.wrap(DEK, aad=AAD)

    (asked,) = scripted.asked
    assert asked.operation == "Encrypt"
    assert asked.body == {
        "KeyId": ARN,
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "EncryptionContext": dict(AAD),
        "Plaintext": base64.b64encode(DEK).decode(),
    }


def test_an_unwrap_is_one_call_that_names_the_key_the_algorithm_and_the_context(
    scripted: ScriptedKms,
) -> None:
    with open_kek(ARN, scripted.url) as kek:
        assert kek.unwrap(SYMMETRIC, aad=AAD) == DEK

    (asked,) = scripted.asked
    assert asked.operation == "Decrypt"
    assert asked.body == {
        "KeyId": ARN,
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "EncryptionContext": dict(AAD),
        "CiphertextBlob": base64.b64encode(CIPHERTEXT).decode(),
    }


def test_an_rsa_key_is_asked_without_a_context_by_the_algorithm_in_the_wrapped_dek(
    scripted: ScriptedKms,
) -> None:
    with open_kek(ARN, scripted.url) as kek:
        kek.unwrap(RSA, aad=AAD)

    body = scripted.asked[0].body
    assert body["EncryptionAlgorithm"] == "RSAES_OAEP_SHA_256"
    assert "EncryptionContext" not in body


@pytest.mark.parametrize(
    ("algorithm", "binds"), [("SYMMETRIC_DEFAULT", True), ("RSAES_OAEP_SHA_256", False)]
)
def test_only_a_symmetric_key_is_said_to_bind_the_aad(algorithm: str, binds: bool) -> None:
    with open_kek(ARN, algorithm=algorithm) as kek:
        assert kek.binds_aad is binds


def test_an_alias_is_asked_for_by_its_name_and_recorded_as_the_key(scripted: ScriptedKms) -> None:
    scripted.answer = wrapped()

    with open_kek("alias/app", scripted.url, region="eu-west-1") as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        scripted.answer = unwrapped()
        kek.unwrap(recorded, aad=AAD)

    assert [asked.body["KeyId"] for asked in scripted.asked] == ["alias/app", "alias/app"]
    assert recorded.key_id == ARN


def test_a_multi_region_key_is_asked_in_the_region_of_the_option(scripted: ScriptedKms) -> None:
    replica = MRK.replace("eu-west-1", "us-east-1")
    scripted.answer = unwrapped(key_id=replica)

    with open_kek(MRK, scripted.url, region="us-east-1") as kek:
        kek.unwrap(SYMMETRIC._replace(key_id=MRK), aad=AAD)

    assert scripted.asked[0].body["KeyId"] == replica


def test_a_replica_in_another_region_opens_what_the_primary_wrapped(emulator: EmulatedKms) -> None:
    primary = emulator.create_key(multi_region=True)
    emulator.client.replicate_key(KeyId=primary, ReplicaRegion="eu-central-1")
    with open_kek(primary, emulator.url) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
    # The primary's region is out of reach, or at least its key is.
    emulator.client.disable_key(KeyId=primary)

    with open_kek(primary, emulator.url) as kek, pytest.raises(KeyStateError):
        kek.unwrap(recorded, aad=AAD)
    with open_kek(primary, emulator.url, region="eu-central-1") as kek:
        assert kek.unwrap(recorded, aad=AAD) == DEK


def test_a_rotated_key_opens_what_it_wrapped_before(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    with open_kek(key, emulator.url) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.client.rotate_key_on_demand(KeyId=key)

        assert kek.unwrap(recorded, aad=AAD) == DEK


def test_an_alias_that_was_pointed_at_another_key_opens_nothing_of_the_former(
    emulator: EmulatedKms,
) -> None:
    first, second = emulator.create_key(alias="alias/moving"), emulator.create_key()
    with open_kek("alias/moving", emulator.url, region="us-east-1") as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.client.update_alias(AliasName="alias/moving", TargetKeyId=second)

        with pytest.raises(DecryptionError) as caught:
            kek.unwrap(recorded, aad=AAD)

    assert "points to a different key" in str(caught.value.hint)
    with open_kek(first, emulator.url) as kek:
        assert kek.unwrap(recorded, aad=AAD) == DEK


def test_an_rsa_key_is_told_how_to_be_used(emulator: EmulatedKms) -> None:
    key = emulator.create_key(key_spec="RSA_2048")

    with open_kek(key, emulator.url) as kek, pytest.raises(KeyStateError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "RSAES_OAEP_SHA_256" in str(caught.value.hint)
