"""What status learns of a key: its state, its versions, its rotation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ksm_storage_emulators.azure_key_vault.keys import RETENTION_SECONDS, KeyVersion
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

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, KID, OTHER_KID, ScriptedVault, reply


def described(kek: Kek) -> KeyDescription:
    """Return the description of a key that is closed after it."""
    with kek:
        description = describe_key(kek)
    assert description is not None
    return description


def unversioned(version: KeyVersion) -> str:
    """Return the name of the key of a version."""
    return version.kid.rpartition("/")[0]


@pytest.fixture
def version(emulator: EmulatedVault) -> KeyVersion:
    return emulator.new_key(emulator.shared_vault())


def test_a_key_is_described_with_its_newest_version(
    emulator: EmulatedVault, version: KeyVersion
) -> None:
    key = unversioned(version)

    assert described(open_kek(key, emulator.settings)) == KeyDescription(
        key_id=key,
        state="enabled",
        state_name="enabled",
        algorithm="RSA 2048",
        protection="SOFTWARE",
        current_version=version.version,
        public=True,
    )


def test_an_aes_key_of_a_managed_hsm_is_not_public(emulator: EmulatedVault) -> None:
    key = emulator.shared_key(emulator.shared_hsm(), "one")

    found = described(open_kek(key.kid, emulator.settings))

    assert (found.algorithm, found.protection, found.public) == ("oct-HSM", "HSM", False)
    assert (found.key_id, found.current_version) == (key.kid, key.version)


def test_a_version_that_was_rotated_away_is_told_apart_from_the_newest(
    emulator: EmulatedVault, version: KeyVersion
) -> None:
    key = unversioned(version)
    with open_kek(key, emulator.settings) as kek:
        old = kek.wrap(DEK, aad=AAD)
        newest = emulator.new_key(emulator.shared_vault(), name=key.rpartition("/")[2])
        new = kek.wrap(DEK, aad=AAD)
        versions = [wrapping_version(kek, wrapped, aad=AAD) for wrapped in (old, new)]
    version.enabled = False

    found = described(open_kek(old.key_id, emulator.settings))

    assert versions == [version.version, newest.version]
    assert (found.key_id, found.state) == (version.kid, "disabled")
    assert found.current_version == newest.version
    assert described(open_kek(key, emulator.settings)).state == "enabled"


def test_the_version_of_another_key_is_not_told(emulator: EmulatedVault) -> None:
    vault = emulator.shared_vault()
    one, two = (emulator.shared_key(vault, name).kid for name in ("one", "two"))
    with open_kek(one, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

    with open_kek(two, emulator.settings) as kek, pytest.raises(DecryptionError):
        wrapping_version(kek, wrapped, aad=AAD)


@pytest.mark.parametrize(
    ("attribute", "seconds", "word"),
    [("expires", -60, "expired"), ("not_before", 3600, "not yet valid")],
)
def test_a_key_outside_its_time_still_opens_and_is_named(
    emulator: EmulatedVault, version: KeyVersion, attribute: str, seconds: int, word: str
) -> None:
    with open_kek(version.kid, emulator.settings) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        setattr(version, attribute, int(when.timestamp()))

        found = describe_key(kek)

        assert found is not None
        assert (found.state, found.state_name) == ("enabled", word)
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_a_deleted_key_says_when_it_is_purged(emulator: EmulatedVault, version: KeyVersion) -> None:
    with emulator.provoked("deleted", version, emulator.shared_vault()):
        found = described(open_kek(version.kid, emulator.settings))

    assert (found.state, found.state_name) == ("pending-deletion", "deleted")
    assert found.deletion is not None
    left = found.deletion - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)


def test_a_purged_key_is_not_found(emulator: EmulatedVault, version: KeyVersion) -> None:
    # Its time for recovery begins long ago.
    vault = emulator.shared_vault()
    key = emulator.service.store.key(vault, version.kid.split("/")[4])
    key.deleted_at = emulator.service.clock.now() - RETENTION_SECONDS

    with open_kek(version.kid, emulator.settings) as kek, pytest.raises(KeyNotFoundError):
        describe_key(kek)


@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        ({"timeAfterCreate": "P90D"}, "P90D after each version"),
        ({"timeBeforeExpiry": "P30D"}, "P30D before expiry of each version"),
    ],
)
def test_the_rotation_policy_is_told(
    emulator: EmulatedVault, version: KeyVersion, trigger: dict[str, str], told: str
) -> None:
    key = emulator.service.store.key(emulator.shared_vault(), version.kid.split("/")[4])
    actions = [{"trigger": trigger, "action": {"type": "Rotate"}}]
    key.rotation_policy = {"lifetimeActions": actions, "attributes": {}}

    assert described(open_kek(version.kid, emulator.settings)).rotation == told


def test_who_may_read_the_key_but_not_its_policy_sees_the_key(emulator: EmulatedVault) -> None:
    vault = emulator.new_vault()
    reader = emulator.service.directory.add_application("reader")
    vault.grant(reader.principal.object_id, ["get"])
    key = emulator.new_key(vault)

    found = described(open_kek(key.kid, emulator.settings_of(reader)))

    assert (found.state, found.rotation) == ("enabled", None)


def test_who_may_not_read_the_key_is_told_the_permission(emulator: EmulatedVault) -> None:
    vault = emulator.new_vault()
    opener = emulator.service.directory.add_application("opener")
    vault.grant(opener.principal.object_id, ["unwrapKey"])
    key = emulator.new_key(vault)

    with (
        open_kek(key.kid, emulator.settings_of(opener)) as kek,
        pytest.raises(PermissionDeniedError) as caught,
    ):
        describe_key(kek)

    assert caught.value.permission == "Microsoft.KeyVault/vaults/keys/read"


def test_a_service_that_fails_is_unavailable(emulator: EmulatedVault, version: KeyVersion) -> None:
    emulator.emulator.faults.add(FaultKind.DROP)

    with (
        open_kek(version.kid, emulator.settings, deadline=1.0) as kek,
        pytest.raises(UnavailableError),
    ):
        describe_key(kek)


@pytest.mark.parametrize(
    ("shown", "error"),
    [
        ({}, UnavailableError),
        ({"key": {"kty": "RSA"}}, UnavailableError),
        ({"key": {"kid": OTHER_KID, "kty": "RSA"}}, ProviderError),
        ({"key": {"kid": KID[:-1] + "0", "kty": "RSA"}}, ProviderError),
    ],
    ids=["nothing", "no id", "another key", "another version"],
)
def test_a_description_of_nothing_or_of_another_key_is_refused(
    scripted: ScriptedVault, shown: object, error: type[Exception]
) -> None:
    scripted.answer(reply(shown))

    with open_kek(KID, scripted.settings) as kek, pytest.raises(error):
        describe_key(kek)


def test_attributes_that_are_not_shown_leave_the_state_unknown(scripted: ScriptedVault) -> None:
    scripted.answer(reply({"key": {"kid": KID, "kty": "RSA"}}))

    assert described(open_kek(KEY, scripted.settings)).state == "unknown"
