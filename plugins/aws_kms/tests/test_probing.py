"""What doctor learns: who asks, from where, and which permission is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from ksm_storage_aws_kms.abilities import PURPOSE
from ksm_storage_emulators.aws_kms.identities import ACCOUNT, allow, deny
from ksm_storage_emulators.faults import FaultKind

from ksm_storage.contract.abilities import PermissionProbe
from ksm_storage.envelope.codec import wrap_aad
from ksm_storage.errors import AuthenticationError, KeyNotFoundError, UnavailableError
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.kek_abilities import describe_access, probe_permissions

from .emulated_kms import EmulatedKms
from .opening import open_kek
from .scripted_kms import ARN, ScriptedKms, refusal

NEEDS = {
    "kms:Decrypt": "open",
    "kms:Encrypt": "seal",
    "kms:DescribeKey": "describe",
    "kms:GetKeyRotationStatus": "describe",
}


@pytest.fixture(autouse=True)
def _one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def probed(kek: Kek) -> Mapping[str, PermissionProbe]:
    """Return the probes by permission, of a key that is closed after it."""
    with kek:
        probes = probe_permissions(kek)
    assert probes is not None
    return {probe.permission: probe for probe in probes}


def test_who_may_do_all_misses_nothing(emulator: EmulatedKms) -> None:
    key = emulator.create_key()

    probes = probed(open_kek(key, emulator.url))

    assert {name: probe.need for name, probe in probes.items()} == NEEDS
    assert all(probe.granted for probe in probes.values())
    assert all(probe.grant is None for probe in probes.values())


@pytest.mark.parametrize("missing", NEEDS)
def test_one_missing_permission_is_the_one_that_is_told_with_its_statement(
    emulator: EmulatedKms, missing: str
) -> None:
    key = emulator.create_key()

    with emulator.statements(allow("*"), deny(missing)):
        probes = probed(open_kek(key, emulator.url))

    assert {name for name, probe in probes.items() if not probe.granted} == {missing}
    probe = probes[missing]
    assert probe.granted is False
    assert probe.reason
    assert probe.grant is not None
    assert json.loads(probe.grant) == {"Effect": "Allow", "Action": missing, "Resource": key}


def test_an_rsa_key_is_probed_by_its_own_algorithm(emulator: EmulatedKms) -> None:
    key = emulator.create_key(key_spec="RSA_2048")

    probes = probed(open_kek(key, emulator.url, algorithm="RSAES_OAEP_SHA_256"))

    assert {name: probe.granted for name, probe in probes.items()} == {
        "kms:Decrypt": True,
        "kms:Encrypt": True,
        "kms:DescribeKey": True,
    }


def test_an_alias_is_resolved_for_the_statement_by_who_may_describe_it(
    emulator: EmulatedKms,
) -> None:
    key = emulator.create_key(alias="alias/probed")

    with emulator.statements(allow("*"), deny("kms:Encrypt")):
        probes = probed(open_kek("alias/probed", emulator.url, region="us-east-1"))

    assert json.loads(probes["kms:Encrypt"].grant or "")["Resource"] == key


def test_an_alias_that_cannot_be_resolved_becomes_a_condition(emulator: EmulatedKms) -> None:
    emulator.create_key(alias="alias/hidden")

    with emulator.statements(allow("kms:Decrypt")):
        probes = probed(open_kek("alias/hidden", emulator.url, region="us-east-1"))

    assert {name: probe.granted for name, probe in probes.items()} == {
        "kms:Decrypt": True,
        "kms:Encrypt": False,
        "kms:DescribeKey": False,
        "kms:GetKeyRotationStatus": None,
    }
    assert json.loads(probes["kms:DescribeKey"].grant or "") == {
        "Effect": "Allow",
        "Action": "kms:DescribeKey",
        "Resource": "arn:aws:kms:us-east-1:*:key/*",
        "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/hidden"}},
    }
    assert "alias" in str(probes["kms:GetKeyRotationStatus"].reason)


def test_what_a_disabled_key_would_allow_cannot_be_told(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    emulator.client.disable_key(KeyId=key)

    probes = probed(open_kek(key, emulator.url))

    assert probes["kms:Decrypt"].granted is None
    assert "disabled" in str(probes["kms:Decrypt"].reason)
    assert probes["kms:DescribeKey"].granted


def test_a_probe_decrypts_nothing_and_says_so_to_the_service(scripted: ScriptedKms) -> None:
    scripted.answer = refusal("AccessDeniedException")

    probed(open_kek(ARN, scripted.url))

    uses = [asked.body for asked in scripted.asked if asked.operation in ("Encrypt", "Decrypt")]
    assert len(uses) == 2
    assert all(body["DryRun"] is True for body in uses)
    assert all("CiphertextBlob" not in body for body in uses)
    assert all(body["EncryptionContext"] == PURPOSE for body in uses)


def test_a_stand_in_without_dry_runs_tells_nothing_of_decrypting(scripted: ScriptedKms) -> None:
    scripted.answer = refusal("InvalidCiphertextException")

    assert probed(open_kek(ARN, scripted.url))["kms:Decrypt"].granted is None


def test_the_context_of_a_probe_is_part_of_every_envelopes(emulator: EmulatedKms) -> None:
    assert PURPOSE.items() <= dict(wrap_aad(bytes(16), 1, {})).items()


def test_a_key_that_is_not_there_cannot_be_probed(emulator: EmulatedKms) -> None:
    key = emulator.create_key()[:-12] + "000000000000"

    with open_kek(key, emulator.url) as kek, pytest.raises(KeyNotFoundError):
        probe_permissions(kek)


def test_a_service_that_fails_cannot_be_probed(emulator: EmulatedKms) -> None:
    key = emulator.create_key()
    emulator.emulator.faults.add(FaultKind.DROP)

    with open_kek(key, emulator.url) as kek, pytest.raises(UnavailableError):
        probe_permissions(kek)


def test_the_access_says_who_asks_and_where(
    emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
    key = emulator.create_key()

    with open_kek(key, emulator.url) as kek:
        labels = describe_access(kek)

    assert labels == {
        "identity": emulator.emulator.service.administrator.caller_arn,
        "account": ACCOUNT,
        "region": "us-east-1",
        "endpoint": emulator.url,
        "first unwrap": "direct, with credentials of the environment",
    }


def test_an_assumed_role_is_who_asks(
    emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
    service = emulator.emulator.service
    role = service.identities.add_role("doctor", [], trusted=[service.administrator.principal.arn])

    with open_kek(emulator.create_key(), emulator.url, role_arn=role.arn) as kek:
        labels = describe_access(kek)

    assert labels is not None
    assert labels["identity"].endswith("assumed-role/doctor/ksm-storage")


def test_where_sts_cannot_be_reached_the_rest_is_told(
    emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
    emulator.emulator.faults.add(FaultKind.DROP, operation="sts:GetCallerIdentity")

    with open_kek(emulator.create_key(), emulator.url) as kek:
        labels = describe_access(kek)

    assert labels is not None
    assert set(labels) == {"region", "endpoint", "first unwrap"}


def test_a_caller_that_aws_does_not_know_is_an_authentication_error(
    emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", emulator.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")

    with (
        open_kek(emulator.create_key(), emulator.url) as kek,
        pytest.raises(AuthenticationError, match="does not recognize"),
    ):
        describe_access(kek)
