"""What keys say of themselves, and what callers are told of their permissions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from google.api_core.exceptions import InvalidArgument

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.gcp_kms.keys import DESTROY_AFTER_SECONDS, CryptoKey
from ksm_storage_emulators.gcp_kms.service import KEY_RING, GcpKmsService

from .conftest import SCOPE, Caller

Kms = Emulator[GcpKmsService]
DAY = 86_400
ENCRYPT = "cloudkms.cryptoKeyVersions.useToEncrypt"
DECRYPT = "cloudkms.cryptoKeyVersions.useToDecrypt"


@pytest.fixture
def key(kms: Kms) -> CryptoKey:
    return kms.service.create_key(f"key-{uuid4().hex}", protection_level="HSM")


def test_a_version_that_is_to_be_destroyed_says_when(call: Caller, key: CryptoKey) -> None:
    name = key.versions[0].name
    assert call("get_crypto_key_version", name=name).destroy_time is None

    call("destroy_crypto_key_version", name=name)

    left = call("get_crypto_key_version", name=name).destroy_time - datetime.now(UTC)
    assert abs(left - timedelta(seconds=DESTROY_AFTER_SECONDS)) < timedelta(minutes=5)


def test_a_version_tells_its_protection(call: Caller, key: CryptoKey) -> None:
    shown = call("get_crypto_key", name=key.name)

    assert shown.primary.protection_level.name == "HSM"
    assert not shown.rotation_period


def test_a_key_with_a_schedule_rotates_when_it_is_due(
    kms: Kms, call: Caller, key: CryptoKey
) -> None:
    key.rotate_every(90 * DAY, now=kms.clock.now())
    before = call("get_crypto_key", name=key.name)
    kms.clock.advance(181 * DAY)
    after = call("get_crypto_key", name=key.name)

    assert before.rotation_period == timedelta(days=90)
    assert [shown.primary.name[-1] for shown in (before, after)] == ["1", "3"]
    assert after.next_rotation_time - before.next_rotation_time == timedelta(days=180)


def test_permissions_are_told_as_they_are_granted(kms: Kms, call: Caller, key: CryptoKey) -> None:
    email = f"{uuid4().hex}@demo.iam.gserviceaccount.com"
    kms.service.tokens.add_account(email)
    kms.service.policy.grant(email, [DECRYPT], on=key.name)

    def told(resource: str) -> list[str]:
        reply = call(
            "test_iam_permissions",
            resource=resource,
            permissions=[ENCRYPT, DECRYPT],
            authorization=f"Bearer {kms.service.tokens.issue(email, frozenset([SCOPE]))}",
        )
        return list(reply.permissions)

    assert told(key.name) == [DECRYPT]
    assert told(kms.service.create_key(f"key-{uuid4().hex}").name) == []


def test_a_key_that_is_not_there_grants_nothing(call: Caller) -> None:
    resource = f"{KEY_RING}/cryptoKeys/none"

    reply = call("test_iam_permissions", resource=resource, permissions=[ENCRYPT])

    assert list(reply.permissions) == []


def test_a_wildcard_is_no_permission(call: Caller, key: CryptoKey) -> None:
    with pytest.raises(InvalidArgument, match="wildcards"):
        call("test_iam_permissions", resource=key.name, permissions=["cloudkms.*"])
