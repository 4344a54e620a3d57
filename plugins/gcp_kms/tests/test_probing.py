"""What doctor learns: who asks, and which permission is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, KEY_RING

from ksm_storage.contract.abilities import PermissionProbe
from ksm_storage.errors import AuthenticationError, UnavailableError
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.kek_abilities import describe_access, probe_permissions

from .emulated_kms import EmulatedKms
from .opening import open_kek

DECRYPT = "cloudkms.cryptoKeyVersions.useToDecrypt"
ENCRYPT = "cloudkms.cryptoKeyVersions.useToEncrypt"
NEEDS = {
    DECRYPT: "open",
    ENCRYPT: "seal",
    "cloudkms.cryptoKeys.get": "describe",
    "cloudkms.cryptoKeyVersions.get": "describe",
}
ROLES = {
    DECRYPT: "cryptoKeyDecrypter",
    ENCRYPT: "cryptoKeyEncrypter",
    "cloudkms.cryptoKeys.get": "viewer",
    "cloudkms.cryptoKeyVersions.get": "viewer",
}


def probed(kek: Kek) -> Mapping[str, PermissionProbe]:
    """Return the probes by permission, of a key that is closed after it."""
    with kek:
        probes = probe_permissions(kek)
    assert probes is not None
    return {probe.permission: probe for probe in probes}


@pytest.fixture
def key(kms: EmulatedKms) -> Any:
    return kms.create_key()


def test_who_may_do_all_misses_nothing(kms: EmulatedKms, key: Any) -> None:
    probes = probed(open_kek(key.versions[0].name, kms.settings))

    assert {name: probe.need for name, probe in probes.items()} == NEEDS
    assert all(probe.granted and probe.grant is None for probe in probes.values())


@pytest.mark.parametrize("missing", NEEDS)
def test_one_missing_permission_is_told_with_its_command(
    kms: EmulatedKms, key: Any, missing: str
) -> None:
    email = f"{uuid4().hex}@demo.iam.gserviceaccount.com"
    file = kms.write_key_file(f"{email}.json", email)
    kms.service.policy.grant(email, [name for name in NEEDS if name != missing], on=key.name)

    probes = probed(open_kek(key.name, kms.settings, credentials_file=str(file)))

    assert {name for name, probe in probes.items() if not probe.granted} == {missing}
    probe = probes[missing]
    assert probe.granted is False
    assert probe.reason
    assert probe.grant == (
        f"gcloud kms keys add-iam-policy-binding {key.name.rpartition('/')[2]} --project demo "
        f"--keyring demo --location global --member serviceAccount:{email} "
        f"--role roles/cloudkms.{ROLES[missing]}"
    )


def test_an_asymmetric_key_is_sealed_with_its_public_key(kms: EmulatedKms) -> None:
    key = kms.create_key(algorithm="RSA_DECRYPT_OAEP_2048_SHA256")

    probes = probed(open_kek(key.versions[0].name, kms.settings, purpose="ASYMMETRIC_DECRYPT"))

    assert probes["cloudkms.cryptoKeyVersions.viewPublicKey"].need == "seal"
    assert ENCRYPT not in probes


def test_a_key_that_is_not_there_grants_nothing(kms: EmulatedKms) -> None:
    probes = probed(open_kek(f"{KEY_RING}/cryptoKeys/none", kms.settings))

    assert [probe.granted for probe in probes.values()] == [False] * len(NEEDS)
    assert all("does not exist" in str(probe.reason) for probe in probes.values())


def test_the_probe_uses_no_key(kms: EmulatedKms, key: Any) -> None:
    probed(open_kek(key.name, kms.settings))

    assert kms.emulator.transcript.calls() == {"TestIamPermissions": 1}


@pytest.mark.usefixtures("one_attempt")
def test_a_service_that_fails_cannot_be_probed(kms: EmulatedKms, key: Any) -> None:
    kms.emulator.faults.add(FaultKind.DROP)

    with open_kek(key.name, kms.settings) as kek, pytest.raises(UnavailableError):
        probe_permissions(kek)


def test_the_access_of_a_service_account_is_told_without_a_call(kms: EmulatedKms, key: Any) -> None:
    with open_kek(key.name, kms.settings) as kek:
        labels = describe_access(kek)

    assert labels == {
        "identity": ADMINISTRATOR,
        "credential": "service-account",
        "project": "demo",
        "location": "global",
        "endpoint": kms.url,
        "first unwrap": "direct, with the service account's key",
    }
    assert kms.calls() == 0


def test_an_impersonated_account_is_who_asks(
    kms: EmulatedKms, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = f"{uuid4().hex}@demo.iam.gserviceaccount.com"
    kms.service.tokens.add_account(email)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(kms.key_file))
    settings = {"endpoint": kms.url, "iam_endpoint": kms.emulator.url}

    with open_kek(
        key.name, settings, credential="impersonation", impersonate_service_account=email
    ) as kek:
        labels = describe_access(kek)

    assert labels is not None
    assert (labels["identity"], labels["credential"]) == (email, "impersonation")


def test_no_credentials_are_an_authentication_error(
    kms: EmulatedKms, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looking for an instance takes seconds.
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    with (
        open_kek(key.name, {"endpoint": kms.url}) as kek,
        pytest.raises(AuthenticationError),
    ):
        describe_access(kek)
