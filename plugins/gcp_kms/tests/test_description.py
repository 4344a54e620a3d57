"""What status learns of a key: the state of its versions, its primary, its rotation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.keys import DESTROY_AFTER_SECONDS
from ksm_storage_emulators.gcp_kms.service import KEY_RING

from ksm_storage.contract.abilities import KeyDescription
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.kek_abilities import describe_key, wrapping_version

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek

DAY = 86_400


def described(kek: Kek) -> KeyDescription:
    """Return the description of a key that is closed after it."""
    with kek:
        description = describe_key(kek)
    assert description is not None
    return description


@pytest.fixture
def key(kms: EmulatedKms) -> Any:
    return kms.create_key()


def test_a_key_is_described_by_its_primary_version(kms: EmulatedKms) -> None:
    key = kms.create_key(protection_level="HSM")

    assert described(open_kek(key.name, kms.settings)) == KeyDescription(
        key_id=key.name,
        state="enabled",
        state_name="ENABLED",
        algorithm="GOOGLE_SYMMETRIC_ENCRYPTION",
        protection="HSM",
        current_version="1",
    )


@pytest.mark.parametrize(
    ("purpose", "algorithm", "public"),
    [
        ("RAW_ENCRYPT_DECRYPT", "AES_256_GCM", False),
        ("ASYMMETRIC_DECRYPT", "RSA_DECRYPT_OAEP_2048_SHA256", True),
    ],
)
def test_keys_without_a_primary_are_described_by_the_version_that_is_named(
    kms: EmulatedKms, purpose: str, algorithm: str, public: bool
) -> None:
    key = kms.create_key(algorithm=algorithm)
    version = kms.service.rotate(key)

    found = described(open_kek(version, kms.settings, purpose=purpose))

    assert (found.state, found.algorithm, found.public) == ("enabled", algorithm, public)
    assert found.current_version == "2"
    unnamed = described(open_kek(key.name, kms.settings, purpose=purpose))
    assert (unnamed.state, unnamed.current_version) == ("unknown", None)


def test_a_disabled_version_is_described_as_disabled(kms: EmulatedKms, key: Any) -> None:
    kms.set_state(key.versions[0].name, "DISABLED")

    found = described(open_kek(key.name, kms.settings))

    assert (found.state, found.state_name, found.deletion) == ("disabled", "DISABLED", None)


def test_a_version_that_is_to_be_destroyed_says_when(kms: EmulatedKms, key: Any) -> None:
    kms.destroy(key.versions[0].name)

    found = described(open_kek(key.name, kms.settings))

    assert (found.state, found.state_name) == ("pending-deletion", "DESTROY_SCHEDULED")
    assert found.deletion is not None
    left = found.deletion - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)


def test_a_destroyed_version_is_described_as_destroyed(kms: EmulatedKms, key: Any) -> None:
    version = key.versions[0]
    version.destroy_at = kms.service.clock.now() - DESTROY_AFTER_SECONDS

    found = described(open_kek(version.name, kms.settings))

    assert (found.state, found.state_name, found.deletion) == ("destroyed", "DESTROYED", None)


def test_a_rotated_key_tells_what_lies_under_its_former_version(kms: EmulatedKms, key: Any) -> None:
    with open_kek(key.name, kms.settings) as kek:
        old = kek.wrap(DEK, aad=AAD)
        kms.service.rotate(key)
        new = kek.wrap(DEK, aad=AAD)
        versions = [wrapping_version(kek, wrapped, aad=AAD) for wrapped in (old, new)]
    kms.set_state(old.key_id, "DISABLED")

    found = described(open_kek(old.key_id, kms.settings))

    assert versions == ["1", "2"]
    assert (found.key_id, found.state, found.current_version) == (old.key_id, "disabled", "2")


def test_the_version_of_another_key_is_not_told(kms: EmulatedKms, key: Any) -> None:
    with open_kek(key.name, kms.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

    with open_kek(kms.create_key().name, kms.settings) as kek, pytest.raises(DecryptionError):
        wrapping_version(kek, wrapped, aad=AAD)


def test_a_schedule_is_told_with_its_next_date(kms: EmulatedKms, key: Any) -> None:
    key.rotate_every(90 * DAY, now=kms.service.clock.now())
    due = datetime.fromtimestamp(key.next_rotation, UTC)

    found = described(open_kek(key.name, kms.settings))

    assert found.rotation == f"every 90 days, next on {due:%Y-%m-%d}"


def test_who_may_not_see_the_key_is_told_the_permission(kms: EmulatedKms, key: Any) -> None:
    file = kms.write_key_file("opener.json", "opener@demo.iam.gserviceaccount.com")

    with (
        open_kek(key.name, kms.settings, credentials_file=str(file)) as kek,
        pytest.raises(PermissionDeniedError) as caught,
    ):
        describe_key(kek)

    assert caught.value.permission == "cloudkms.cryptoKeys.get"


def test_a_key_that_is_not_there_is_not_found(kms: EmulatedKms) -> None:
    key = f"{KEY_RING}/cryptoKeys/none"

    with open_kek(key, kms.settings) as kek, pytest.raises(KeyNotFoundError):
        describe_key(kek)


@pytest.mark.usefixtures("one_attempt")
def test_a_service_that_fails_is_unavailable(kms: EmulatedKms, key: Any) -> None:
    kms.emulator.faults.add(FaultKind.DROP)

    with open_kek(key.name, kms.settings) as kek, pytest.raises(UnavailableError):
        describe_key(kek)
