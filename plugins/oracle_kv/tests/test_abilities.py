"""What `status` and `doctor` learn of a key in a vault."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from ksm_storage_emulators.oci_vault.identities import Grant
from ksm_storage_emulators.oci_vault.keys import DELETED, PENDING_DELETION

from ksm_storage.errors import (
    AuthenticationError,
    DecryptionError,
    PermissionDeniedError,
    UnavailableError,
)
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.kek_abilities import (
    describe_access,
    describe_key,
    probe_permissions,
    wrapping_version,
)

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek

DEK = os.urandom(32)
RSA = "RSA_OAEP_SHA_256"


@pytest.fixture
def key(emulator: EmulatedVault) -> str:
    return emulator.create_key()


@pytest.fixture
def kek(emulator: EmulatedVault, key: str) -> Iterator[Kek]:
    with open_kek(key, emulator.url, deadline=2.0) as opened:
        yield opened


@pytest.mark.parametrize(
    ("fault", "state", "name"),
    [
        (None, "enabled", "ENABLED"),
        ("disabled", "disabled", "DISABLED"),
        ("pending deletion", "pending-deletion", "PENDING_DELETION"),
    ],
)
def test_each_state_is_told(
    emulator: EmulatedVault, kek: Kek, key: str, fault: str | None, state: str, name: str
) -> None:
    if fault is None:
        found = describe_key(kek)
    else:
        with emulator.provoked(fault, key):
            found = describe_key(kek)

    assert found is not None
    assert (found.state, found.state_name, found.key_id) == (state, name, key)
    assert (found.algorithm, found.protection, found.public) == ("AES-256", "SOFTWARE", False)


def test_the_date_of_a_deletion_is_told(emulator: EmulatedVault, kek: Kek, key: str) -> None:
    stored = emulator.service.vault.find(key)
    assert stored is not None
    stored.deleted_at = emulator.service.clock.now() + 8 * 86_400
    stored.state = PENDING_DELETION

    found = describe_key(kek)

    assert found is not None
    assert found.deletion is not None
    assert abs(found.deletion.timestamp() - stored.deleted_at) < 1
    assert found.deletion > datetime.now(UTC)


def test_an_rsa_key_can_be_forged_with_its_public_key(emulator: EmulatedVault) -> None:
    key = emulator.create_key(algorithm="RSA", length=256)

    with open_kek(key, emulator.url, algorithm=RSA) as kek:
        found = describe_key(kek)

    assert found is not None
    assert (found.algorithm, found.public) == ("RSA-2048", True)


def test_what_was_wrapped_before_a_rotation_is_told_from_what_is_current(
    emulator: EmulatedVault, kek: Kek, key: str
) -> None:
    before = kek.wrap(DEK, aad=AAD)
    emulator.rotate(key)
    after = kek.wrap(DEK, aad=AAD)

    found = describe_key(kek)

    assert found is not None
    assert wrapping_version(kek, before, aad=AAD) != found.current_version
    assert wrapping_version(kek, after, aad=AAD) == found.current_version


def test_a_version_that_is_named_is_described_by_its_own_state(
    emulator: EmulatedVault, kek: Kek, key: str
) -> None:
    recorded = kek.wrap(DEK, aad=AAD).key_id
    emulator.rotate(key)
    stored = emulator.service.vault.find(key)
    assert stored is not None
    stored.versions[0].state = PENDING_DELETION

    with open_kek(recorded, emulator.url) as old:
        found = describe_key(old)

    assert found is not None
    assert (found.state, found.key_id) == ("pending-deletion", recorded)
    assert found.current_version == stored.current.ocid


def test_the_version_of_another_key_is_not_told(emulator: EmulatedVault, kek: Kek) -> None:
    other = emulator.create_key()
    with open_kek(other, emulator.url) as theirs:
        wrapped = theirs.wrap(DEK, aad=AAD)

    with pytest.raises(DecryptionError):
        wrapping_version(kek, wrapped, aad=AAD)


def test_the_access_names_user_tenancy_and_vault(
    emulator: EmulatedVault, kek: Kek, key: str
) -> None:
    labels = describe_access(kek)

    assert labels is not None
    service = emulator.service
    assert labels["identity"] == service.administrator.user
    assert labels["tenancy"] == service.identities.tenancy
    assert (labels["credential"], labels["vault"]) == ("config-file", service.vault.name)


@pytest.mark.parametrize("missing", [None, "KEY_ENCRYPT", "KEY_DECRYPT", "KEY_READ"])
def test_each_missing_permission_is_told_with_its_policy(
    emulator: EmulatedVault, kek: Kek, key: str, missing: str | None
) -> None:
    names = {"KEY_ENCRYPT", "KEY_DECRYPT", "KEY_READ"} - {missing}

    with emulator.grants(*(Grant(name) for name in names)):
        probes = probe_permissions(kek)

    assert probes is not None
    assert {probe.permission for probe in probes if probe.granted is False} == {missing} - {None}
    assert {probe.permission for probe in probes if probe.granted} == names
    for probe in probes:
        assert bool(probe.grant) is (probe.permission == missing)
        if probe.grant:
            assert f"{{{missing}}}" in probe.grant
            assert key in probe.grant


def test_a_disabled_key_hides_the_permission(emulator: EmulatedVault, kek: Kek, key: str) -> None:
    with emulator.provoked("disabled", key):
        probes = probe_permissions(kek)

    assert probes is not None
    assert {p.permission: p.granted for p in probes} == {
        "KEY_DECRYPT": None,
        "KEY_ENCRYPT": None,
        "KEY_READ": True,
    }


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("unknown caller", AuthenticationError),
        ("failing", UnavailableError),
    ],
)
def test_a_vault_that_cannot_be_asked_is_a_documented_error(
    emulator: EmulatedVault, kek: Kek, key: str, fault: str, error: type[Exception]
) -> None:
    with emulator.provoked(fault, key):
        with pytest.raises(error):
            describe_key(kek)
        with pytest.raises(error):
            probe_permissions(kek)


def test_a_management_endpoint_out_of_reach_leaves_only_its_own_permission_untold(
    emulator: EmulatedVault, key: str
) -> None:
    nowhere = "http://127.0.0.1:9"

    with open_kek(key, emulator.url, management_endpoint=nowhere, deadline=1.0) as kek:
        probes = probe_permissions(kek)

    assert probes is not None
    assert {p.permission: p.granted for p in probes} == {
        "KEY_DECRYPT": True,
        "KEY_ENCRYPT": True,
        "KEY_READ": None,
    }


def test_a_key_that_is_gone_is_denied_or_missing(
    emulator: EmulatedVault, kek: Kek, key: str
) -> None:
    stored = emulator.service.vault.find(key)
    assert stored is not None
    stored.state = DELETED

    with pytest.raises(PermissionDeniedError, match="or the key does not exist"):
        describe_key(kek)


def test_the_management_endpoint_is_the_crypto_endpoints_neighbour() -> None:
    from ksm_storage_oracle_kv.client import VaultClient
    from ksm_storage_oracle_kv.hooks import NAMES, Access

    from ksm_storage.contract.key_wrapper import KeyUri
    from ksm_storage.keys.discovery import find_plugin
    from ksm_storage.keys.setting_sources import gather_settings

    from .scripted_vault import KEY

    def endpoint(**given: str) -> str:
        uri = KeyUri("oracle-kv", KEY)
        options = find_plugin("oracle-kv").options()
        settings = gather_settings(uri, options, {"oracle-kv": given})
        client = VaultClient(NAMES.parse(KEY), Access.from_settings(settings)).management()
        return client._endpoint()

    vault = NAMES.parse(KEY).parts["vault"]
    derived = f"https://{vault}-management.kms.us-ashburn-1.oraclecloud.com"
    assert endpoint() == derived
    assert endpoint(endpoint=derived.replace("-management.", "-crypto.")) == derived
    assert endpoint(management_endpoint="https://here.example") == "https://here.example"
