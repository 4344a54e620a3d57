"""What is asked of a vault, how often, and which replies are not believed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import DecryptionError, KsmStorageError, ProviderError, UnavailableError
from ksm_storage.plugin import WrappedDek

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import CIPHERTEXT, DEK, KEY, VERSION, ScriptedVault, unwrapped, wrapped

OTHER_KEY = KEY.replace("abzwkl", "bbzwkl")
OTHER_VERSION = VERSION.replace("aaaajs", "baaajs")
RECORDED = f"{KEY}/{VERSION}"
AES = WrappedDek(RECORDED, "AES_256_GCM", CIPHERTEXT)
RSA = WrappedDek(RECORDED, "RSA_OAEP_SHA_256", bytes(256))


def test_a_wrap_is_one_call_that_names_the_key_the_algorithm_and_the_aad(
    scripted: ScriptedVault,
) -> None:
    scripted.answer = wrapped()

    with open_kek(KEY, scripted.url) as kek:
        recorded = kek.wrap(DEK, aad=AAD)

    (asked,) = scripted.asked
    assert asked.path == "/20180608/encrypt"
    assert asked.body == {
        "keyId": KEY,
        "encryptionAlgorithm": "AES_256_GCM",
        "associatedData": dict(AAD),
        "plaintext": base64.b64encode(DEK).decode(),
    }
    assert recorded == AES


def test_an_unwrap_is_one_call_that_names_the_key_and_the_version_too(
    scripted: ScriptedVault,
) -> None:
    with open_kek(KEY, scripted.url) as kek:
        assert kek.unwrap(AES, aad=AAD) == DEK

    (asked,) = scripted.asked
    assert asked.path == "/20180608/decrypt"
    assert asked.body == {
        "keyId": KEY,
        "keyVersionId": VERSION,
        "encryptionAlgorithm": "AES_256_GCM",
        "associatedData": dict(AAD),
        "ciphertext": base64.b64encode(CIPHERTEXT).decode(),
    }


def test_an_rsa_key_is_asked_without_associated_data_by_the_algorithm_in_the_wrapped_dek(
    scripted: ScriptedVault,
) -> None:
    with open_kek(KEY, scripted.url) as kek:
        kek.unwrap(RSA, aad=AAD)

    body = scripted.asked[0].body
    assert body["encryptionAlgorithm"] == "RSA_OAEP_SHA_256"
    assert body["keyVersionId"] == VERSION
    assert "associatedData" not in body


@pytest.mark.parametrize(
    ("algorithm", "binds"), [("AES_256_GCM", True), ("RSA_OAEP_SHA_256", False)]
)
def test_only_an_aes_key_is_said_to_bind_the_aad(algorithm: str, binds: bool) -> None:
    with open_kek(KEY, algorithm=algorithm) as kek:
        assert kek.binds_aad is binds


def test_a_pinned_version_wraps_and_is_asked_for(scripted: ScriptedVault) -> None:
    scripted.answer = wrapped()

    with open_kek(RECORDED, scripted.url) as kek:
        kek.wrap(DEK, aad=AAD)

    assert scripted.asked[0].body["keyVersionId"] == VERSION


def test_a_wrap_under_another_version_than_the_pinned_one_is_refused(
    scripted: ScriptedVault,
) -> None:
    scripted.answer = wrapped(keyVersionId=OTHER_VERSION)

    with (
        open_kek(RECORDED, scripted.url) as kek,
        pytest.raises(ProviderError, match="encrypted under another key"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_a_vault_that_names_no_key_in_its_replies_serves_aes(scripted: ScriptedVault) -> None:
    scripted.answers = [wrapped(keyId=None, keyVersionId=None, encryptionAlgorithm=None)]
    scripted.answer = unwrapped(keyId=None, keyVersionId=None, encryptionAlgorithm=None)

    with open_kek(KEY, scripted.url) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        assert kek.unwrap(recorded, aad=AAD) == DEK

    assert recorded.key_id == KEY
    assert "keyVersionId" not in scripted.asked[1].body


def test_an_rsa_wrap_without_a_version_is_refused(scripted: ScriptedVault) -> None:
    scripted.answer = wrapped(keyVersionId=None)

    with (
        open_kek(KEY, scripted.url, algorithm="RSA_OAEP_SHA_256") as kek,
        pytest.raises(UnavailableError, match="key_version_id"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_another_version_than_the_pinned_one_is_refused_without_a_call(
    scripted: ScriptedVault,
) -> None:
    with open_kek(f"{KEY}/{OTHER_VERSION}", scripted.url) as kek, pytest.raises(DecryptionError):
        kek.unwrap(AES, aad=AAD)

    assert scripted.asked == []


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("AES", "AES_256_GCM"), ("RSA", "RSA_OAEP_SHA_256")]
)
def test_a_rotated_key_opens_what_it_wrapped_before(
    emulator: EmulatedVault, kind: str, algorithm: str
) -> None:
    key = emulator.create_key(algorithm=kind)
    with open_kek(key, emulator.url, algorithm=algorithm) as kek:
        before = kek.wrap(DEK, aad=AAD)
        emulator.rotate(key)
        after = kek.wrap(DEK, aad=AAD)

        assert kek.unwrap(before, aad=AAD) == DEK
        assert kek.unwrap(after, aad=AAD) == DEK
    assert before.key_id != after.key_id


def test_a_pinned_version_goes_on_to_wrap_after_a_rotation(emulator: EmulatedVault) -> None:
    key = emulator.create_key()
    with open_kek(key, emulator.url) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
    emulator.rotate(key)

    with open_kek(recorded.key_id, emulator.url) as kek:
        assert kek.wrap(DEK, aad=AAD).key_id == recorded.key_id


def test_an_rsa_key_is_told_how_to_be_used(emulator: EmulatedVault) -> None:
    key = emulator.create_key(algorithm="RSA")

    with open_kek(key, emulator.url) as kek, pytest.raises(ProviderError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert "RSA_OAEP_SHA_256" in str(caught.value.hint)


def test_the_calls_of_a_storage_are_two_to_create_one_to_open_and_none_to_save(
    emulator: EmulatedVault, tmp_path: Path
) -> None:
    uri = f"oracle-kv://{emulator.create_key()}"
    settings = {"oracle-kv": {"endpoint": emulator.url}}
    path = tmp_path / "client-config.json"
    counted = []

    storage = ksm_storage.open_storage(path, keys=[uri], settings=settings)
    storage.set("hostname", "keepersecurity.eu")
    counted.append(emulator.calls())
    for _ in range(2):
        emulator.emulator.transcript.reset()
        storage = ksm_storage.open_storage(path, settings=settings)
        assert storage.get("hostname") == "keepersecurity.eu"
        counted.append(emulator.calls())
    emulator.emulator.transcript.reset()
    for number in range(100):
        storage.set("hostname", f"host-{number}")
    counted.append(emulator.calls())

    # Create, first open, re-open, 100 sets.
    assert counted == [2, 1, 1, 0]


def test_a_storage_opens_after_its_key_was_rotated(emulator: EmulatedVault, tmp_path: Path) -> None:
    key = emulator.create_key()
    settings = {"oracle-kv": {"endpoint": emulator.url}}
    path = tmp_path / "client-config.json"
    storage = ksm_storage.open_storage(path, keys=[f"oracle-kv://{key}"], settings=settings)
    storage.set("hostname", "keepersecurity.eu")
    emulator.rotate(key)

    pinned = ksm_storage.open_storage(path, keys=[key], settings=settings)

    assert pinned.get("hostname") == "keepersecurity.eu"


def test_an_over_long_key_is_refused_by_the_core(emulator: EmulatedVault) -> None:
    from ksm_storage_emulators.faults import FaultKind

    with open_kek(emulator.create_key(), emulator.url) as kek:
        recorded = kek.wrap(DEK, aad=AAD)
        emulator.emulator.faults.add(FaultKind.OVER_LONG_KEY)

        with pytest.raises(KsmStorageError, match="33 bytes, not 32"):
            kek.unwrap(recorded, aad=AAD)
