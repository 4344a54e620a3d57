"""What status learns of a key: its state, its material, its rotation."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ksm_storage_emulators.aws_kms.identities import allow, deny
from ksm_storage_emulators.faults import FaultKind

from ksm_storage.contract.abilities import KeyDescription
from ksm_storage.errors import (
    DecryptionError,
    KeyNotFoundError,
    PermissionDeniedError,
    ProviderError,
    UnavailableError,
)
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.kek_abilities import describe_key, wrapping_version
from ksm_storage.plugin import Aad

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, Answer, ScriptedKms

DAY = 86_400


def described(kek: Kek) -> KeyDescription:
    """Return the description of a key that is closed after it."""
    with kek:
        description = describe_key(kek)
    assert description is not None
    return description


def test_a_symmetric_key_is_described_by_its_arn_and_its_current_material(
    emulator: EmulatedKms,
) -> None:
    key = emulator.create_key(alias="alias/described")

    found = described(open_kek("alias/described", emulator.url, region="us-east-1"))

    metadata = emulator.client.describe_key(KeyId=key)["KeyMetadata"]
    assert found == KeyDescription(
        key_id=key,
        state="enabled",
        state_name="Enabled",
        algorithm="SYMMETRIC_DEFAULT",
        protection="AWS_KMS",
        current_version=metadata["CurrentKeyMaterialId"],
    )


def test_an_rsa_key_is_public_and_has_no_versions(emulator: EmulatedKms) -> None:
    key = emulator.create_key(key_spec="RSA_2048")

    with open_kek(key, emulator.url, algorithm="RSAES_OAEP_SHA_256") as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        version = wrapping_version(kek, wrapped, aad=AAD)
        found = described(kek)

    assert found.public
    assert (found.algorithm, found.current_version, version) == ("RSA_2048", None, None)
    assert emulator.emulator.transcript.count("Decrypt") == 0, "there is nothing to find out"


def test_a_disabled_key_is_described_as_disabled(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    emulator.client.disable_key(KeyId=key)

    found = described(open_kek(key, emulator.url))

    assert (found.state, found.state_name, found.deletion) == ("disabled", "Disabled", None)


def test_a_key_that_waits_for_its_deletion_says_when(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    emulator.client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

    found = described(open_kek(key, emulator.url))

    assert (found.state, found.state_name) == ("pending-deletion", "PendingDeletion")
    assert found.deletion is not None
    left = found.deletion - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_a_primary_that_waits_for_its_replicas_has_no_date_yet(emulator: EmulatedKms) -> None:
    key = emulator.create_key(multi_region=True)
    emulator.client.replicate_key(KeyId=key, ReplicaRegion="eu-central-1")
    emulator.client.schedule_key_deletion(KeyId=key)

    found = described(open_kek(key, emulator.url))

    assert (found.state, found.deletion) == ("pending-deletion", None)
    assert found.state_name == "PendingReplicaDeletion"


def test_a_destroyed_key_is_not_found(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    emulator.client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    emulator.emulator.clock.advance(8 * DAY)

    with open_kek(key, emulator.url) as kek, pytest.raises(KeyNotFoundError):
        describe_key(kek)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Updating", "enabled"),
        ("PendingImport", "unusable"),
        ("Creating", "unusable"),
        ("Unavailable", "unusable"),
        ("Sleeping", "unknown"),
    ],
)
def test_other_states_are_told_by_what_they_mean_for_an_unwrap(
    scripted: ScriptedKms, word: str, state: str
) -> None:
    scripted.answer = metadata(KeyState=word)

    found = described(open_kek(ARN, scripted.url))

    assert (found.state, found.state_name) == (state, word)


def test_imported_material_that_expires_says_when(scripted: ScriptedKms) -> None:
    expiry = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
    scripted.answer = metadata(
        Origin="EXTERNAL", ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=expiry.timestamp()
    )

    found = described(open_kek(ARN, scripted.url))

    assert (found.state, found.protection, found.deletion) == ("enabled", "EXTERNAL", expiry)
    assert [asked.operation for asked in scripted.asked] == ["DescribeKey"], "it cannot rotate"


def test_automatic_rotation_is_told_with_its_next_date(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    emulator.client.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    due = datetime.now(UTC) + timedelta(days=90)

    found = described(open_kek(key, emulator.url))

    assert found.rotation is not None
    assert found.rotation.startswith("every 90 days, next on ")
    assert found.rotation.endswith((f"{due:%Y-%m-%d}", f"{due - timedelta(days=1):%Y-%m-%d}"))


def test_who_may_not_see_the_rotation_still_sees_the_key(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    emulator.client.enable_key_rotation(KeyId=key)

    with emulator.statements(allow("kms:DescribeKey", on=[key])):
        found = described(open_kek(key, emulator.url))

    assert (found.state, found.rotation) == ("enabled", None)


def test_who_may_not_describe_the_key_is_told_the_permission(emulator: EmulatedKms) -> None:
    key = emulator.create_key()

    with (
        emulator.statements(allow("*"), deny("kms:DescribeKey")),
        open_kek(key, emulator.url) as kek,
        pytest.raises(PermissionDeniedError) as caught,
    ):
        describe_key(kek)

    assert caught.value.permission == "kms:DescribeKey"


def test_a_rotated_key_tells_what_lies_under_its_former_material(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    with open_kek(key, emulator.url) as kek:
        old = kek.wrap(DEK, aad=AAD)
        former = describe_key(kek)
        emulator.client.rotate_key_on_demand(KeyId=key)
        new = kek.wrap(DEK, aad=AAD)

        versions = [wrapping_version(kek, wrapped, aad=AAD) for wrapped in (old, new)]
        now = describe_key(kek)

    assert former is not None
    assert now is not None
    assert versions == [former.current_version, now.current_version]
    assert former.current_version != now.current_version


def test_the_material_of_another_context_is_not_told(emulator: EmulatedKms) -> None:
    key = emulator.create_key()

    with open_kek(key, emulator.url) as kek, pytest.raises(DecryptionError):
        wrapping_version(kek, kek.wrap(DEK, aad=AAD), aad=Aad({"env": "test"}))


def test_a_service_that_fails_is_unavailable(
    emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    key = emulator.create_key()
    emulator.emulator.faults.add(FaultKind.DROP)

    with open_kek(key, emulator.url) as kek, pytest.raises(UnavailableError):
        describe_key(kek)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(), UnavailableError),
        (Answer(body=json.dumps({"KeyMetadata": {"KeyId": "1"}}).encode()), UnavailableError),
        (
            Answer(body=json.dumps({"KeyMetadata": {"Arn": ARN[:-1] + "0"}}).encode()),
            ProviderError,
        ),
    ],
    ids=["nothing", "no ARN", "another key"],
)
def test_a_description_of_nothing_or_of_another_key_is_refused(
    scripted: ScriptedKms, answer: Answer, error: type[Exception]
) -> None:
    scripted.answer = answer

    with open_kek(ARN, scripted.url) as kek, pytest.raises(error):
        describe_key(kek)


def metadata(**changes: Any) -> Answer:
    """Return the reply to a successful DescribeKey of a key that cannot rotate."""
    found = {
        "KeyId": ARN.rpartition("/")[2],
        "Arn": ARN,
        "KeyState": "Enabled",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "Origin": "EXTERNAL",
        **changes,
    }
    return Answer(body=json.dumps({"KeyMetadata": found}).encode())
