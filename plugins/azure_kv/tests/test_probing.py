"""What doctor learns: who asks, and which permission is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from ksm_storage_emulators.azure_key_vault.directory import Application
from ksm_storage_emulators.azure_key_vault.vaults import ACTIONS, Vault
from ksm_storage_emulators.faults import FaultKind

from ksm_storage.contract.abilities import PermissionProbe
from ksm_storage.errors import (
    AuthenticationError,
    KeyNotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.kek_abilities import describe_access, probe_permissions

from .emulated_vault import EmulatedVault
from .opening import open_kek

RSA_NEEDS = {"unwrapKey": "open", "wrapKey": "seal", "get": "describe"}
VAULT_NEEDS = {**RSA_NEEDS, "getrotationpolicy": "describe"}
HSM_NEEDS = {"decrypt": "open", "encrypt": "seal", "get": "describe"}


def probed(kek: Kek) -> Mapping[str, PermissionProbe]:
    """Return the probes by permission, of a key that is closed after it."""
    with kek:
        probes = probe_permissions(kek)
    assert probes is not None
    return {probe.permission: probe for probe in probes}


def action(operation: str) -> str:
    """Return the data action of an operation in a vault."""
    return f"Microsoft.KeyVault/vaults/{ACTIONS[operation]}"


def caller(emulator: EmulatedVault, vault: Vault, permissions: Sequence[str]) -> Application:
    """Return an application that may do this in the vault and nothing else."""
    application = emulator.service.directory.add_application("caller")
    vault.grant(application.principal.object_id, permissions)
    return application


def test_who_may_do_all_misses_nothing(emulator: EmulatedVault) -> None:
    key = emulator.shared_key(emulator.shared_vault(), "one")

    probes = probed(open_kek(key.kid, emulator.settings))

    assert {name: probe.need for name, probe in probes.items()} == {
        action(operation): need for operation, need in VAULT_NEEDS.items()
    }
    assert all(probe.granted and probe.grant is None for probe in probes.values())


@pytest.mark.parametrize("missing", VAULT_NEEDS)
def test_one_missing_role_is_told_with_its_command(emulator: EmulatedVault, missing: str) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)
    application = caller(emulator, vault, [name for name in VAULT_NEEDS if name != missing])

    probes = probed(open_kek(key.kid, emulator.settings_of(application)))

    assert {name for name, probe in probes.items() if not probe.granted} == {action(missing)}
    probe = probes[action(missing)]
    assert probe.granted is False
    assert probe.grant is not None
    assert probe.grant.startswith("az role assignment create --role ")
    assert f"--assignee-object-id {application.principal.object_id} " in probe.grant
    assert f"--name {vault.host.partition('.')[0]} " in probe.grant
    assert probe.grant.endswith(f'/keys/{key.kid.split("/")[4]}"')


@pytest.mark.parametrize("missing", VAULT_NEEDS)
def test_one_missing_access_policy_is_told_with_its_command(
    emulator: EmulatedVault, missing: str
) -> None:
    vault = emulator.new_vault(authorization="policy")
    key = emulator.new_key(vault)
    application = caller(emulator, vault, [name for name in VAULT_NEEDS if name != missing])

    probes = probed(open_kek(key.kid, emulator.settings_of(application)))

    (probe,) = (probe for probe in probes.values() if not probe.granted)
    assert (probe.permission, probe.granted) == (f"keys/{missing}", False)
    assert probe.grant is not None
    assert probe.grant.startswith(f"az keyvault set-policy --name {vault.host.partition('.')[0]} ")
    assert f"--key-permissions {missing} " in probe.grant


@pytest.mark.parametrize("missing", HSM_NEEDS)
def test_one_missing_local_role_is_told_with_its_command(
    emulator: EmulatedVault, missing: str
) -> None:
    hsm = emulator.new_hsm()
    key = emulator.new_key(hsm)
    application = caller(emulator, hsm, [name for name in HSM_NEEDS if name != missing])

    probes = probed(open_kek(key.kid, emulator.settings_of(application)))

    needs = {str(probe.need): probe for probe in probes.values()}
    probe = needs[HSM_NEEDS[missing]]
    assert probe.granted is False
    assert probe.grant is not None
    assert probe.grant.startswith("az keyvault role assignment create --hsm-name ")
    if missing == "encrypt":
        # Without a ciphertext of its own, a decryption proves nothing.
        assert needs["open"].granted is None
    else:
        assert [each.need for each in probes.values() if not each.granted] == [probe.need]


def test_who_may_only_open_cannot_be_told_for_certain_and_is_told_so(
    emulator: EmulatedVault,
) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)
    application = caller(emulator, vault, ["unwrapKey"])

    probe = probed(open_kek(key.kid, emulator.settings_of(application)))[action("unwrapKey")]

    assert probe.granted is None
    assert "ksm-storage check" in str(probe.reason)


def test_who_may_do_nothing_misses_all(emulator: EmulatedVault) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)

    probes = probed(open_kek(key.kid, emulator.settings_of(caller(emulator, vault, []))))

    assert [probe.granted for probe in probes.values()] == [False] * len(VAULT_NEEDS)


def test_what_a_disabled_key_would_allow_cannot_be_told(emulator: EmulatedVault) -> None:
    vault = emulator.shared_vault()
    key = emulator.new_key(vault)

    with emulator.provoked("disabled", key, vault):
        probes = probed(open_kek(key.kid, emulator.settings))

    assert probes[action("wrapKey")].granted is None
    assert "disabled" in str(probes[action("wrapKey")].reason)
    assert probes[action("get")].granted


def test_a_firewall_is_no_missing_permission(emulator: EmulatedVault) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)

    with (
        emulator.provoked("firewall", key, vault),
        open_kek(key.kid, emulator.settings) as kek,
        pytest.raises(PermissionDeniedError, match="address"),
    ):
        probe_permissions(kek)


def test_a_key_that_is_not_there_cannot_be_probed(emulator: EmulatedVault) -> None:
    key = f"https://{emulator.shared_vault().host}/keys/none"

    with open_kek(key, emulator.settings) as kek, pytest.raises(KeyNotFoundError):
        probe_permissions(kek)


def test_a_service_that_fails_cannot_be_probed(emulator: EmulatedVault) -> None:
    key = emulator.shared_key(emulator.shared_vault(), "one")
    emulator.emulator.faults.add(FaultKind.DROP)

    with (
        open_kek(key.kid, emulator.settings, deadline=1.0) as kek,
        pytest.raises(UnavailableError),
    ):
        probe_permissions(kek)


def test_the_access_says_who_asks_and_where(emulator: EmulatedVault) -> None:
    vault = emulator.shared_vault()
    principal = emulator.service.administrator.principal
    key = emulator.shared_key(vault, "one")

    with open_kek(key.kid, emulator.settings) as kek:
        labels = describe_access(kek)

    assert labels == {
        "identity": principal.client_id,
        "application": principal.client_id,
        "object id": principal.object_id,
        "tenant": emulator.service.directory.tenant_id,
        "vault": f"https://{vault.host}",
        "cloud": "Azure public",
        "first unwrap": "direct, with credentials of the kind client-secret",
    }


def test_who_may_do_nothing_is_known_nevertheless(emulator: EmulatedVault) -> None:
    vault = emulator.new_vault()
    application = caller(emulator, vault, [])
    key = emulator.new_key(vault)

    with open_kek(key.kid, emulator.settings_of(application)) as kek:
        labels = describe_access(kek)

    assert labels is not None
    assert labels["object id"] == application.principal.object_id


def test_wrong_credentials_are_an_authentication_error(emulator: EmulatedVault) -> None:
    key = emulator.shared_key(emulator.new_vault(), "one")

    with (
        open_kek(key.kid, emulator.settings, client_secret="wrong") as kek,
        pytest.raises(AuthenticationError),
    ):
        describe_access(kek)
