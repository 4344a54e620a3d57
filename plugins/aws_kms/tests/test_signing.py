"""A device key in KMS signs, and nothing else stands in for it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from ksm_storage_aws_kms.key_wrapper import AwsKmsKeyWrapper
from ksm_storage_emulators.aws_kms.identities import allow
from ksm_storage_emulators.faults import FaultKind

from ksm_storage.plugin import (
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    UnavailableError,
)
from ksm_storage.testing.signing_tests import SigningConformance

from .emulated_kms import EmulatedKms
from .opening import open_kek

DIGEST = bytes(range(32))


def opened(key: str, *, endpoint: str) -> AwsKmsKeyWrapper:
    wrapper = open_kek(key, endpoint).wrapper
    assert isinstance(wrapper, AwsKmsKeyWrapper)
    return wrapper


def new_alias(key: str) -> str:
    """Return the ARN of an alias that is free, in the account and region of a key."""
    return f"{key.rpartition(':')[0]}:alias/{uuid4().hex}"


@pytest.fixture
def key(emulator: EmulatedKms) -> str:
    return emulator.create_key(key_spec="ECC_NIST_P256")


class TestSigning(SigningConformance):
    """The promises of the ability, over the strict emulator."""

    provider = "aws-kms"

    @pytest.fixture
    def settings(self, emulator: EmulatedKms) -> dict[str, object]:
        return {"endpoint": emulator.url}

    @pytest.fixture
    def key_id(self, emulator: EmulatedKms) -> str:
        return emulator.create_key(key_spec="ECC_NIST_P256")

    @pytest.fixture
    def other_key_id(self, emulator: EmulatedKms) -> str:
        return emulator.create_key(key_spec="ECC_NIST_P256")

    @pytest.fixture
    def new_key_id(self, key: str) -> str:
        return new_alias(key)

    @pytest.fixture
    def count_calls(self, emulator: EmulatedKms) -> Callable[[], int]:
        return emulator.calls


def test_an_alias_resolves_to_the_key(emulator: EmulatedKms) -> None:
    service = emulator.emulator.service
    arn = service.create_key(key_spec="ECC_NIST_P256", alias="alias/signing-device").arn

    name = arn.rpartition(":")[0] + ":alias/signing-device"

    assert opened(name, endpoint=emulator.url).signing_key().key_id == arn


def test_a_disabled_key_stops_the_device_at_its_next_request(
    emulator: EmulatedKms, key: str
) -> None:
    device = opened(key, endpoint=emulator.url)
    assert device.sign_digest(DIGEST)

    emulator.client.disable_key(KeyId=key)
    with pytest.raises(KeyStateError, match="disabled"):
        device.sign_digest(DIGEST)
    assert device.describe_key().state == "disabled"
    emulator.client.enable_key(KeyId=key)

    assert device.sign_digest(DIGEST)


@pytest.mark.parametrize("spec", ["SYMMETRIC_DEFAULT", "RSA_2048"])
def test_a_key_of_another_kind_is_refused(emulator: EmulatedKms, spec: str) -> None:
    other = opened(emulator.create_key(key_spec=spec), endpoint=emulator.url)

    with pytest.raises(KeyStateError, match="not a P-256 signing key") as caught:
        other.signing_key()
    with pytest.raises(KeyStateError):
        other.sign_digest(DIGEST)

    assert "ECC_NIST_P256" in str(caught.value.hint)


def test_a_missing_key_is_not_found(emulator: EmulatedKms, key: str) -> None:
    missing = key[:-12] + "000000000000"

    with pytest.raises(KeyNotFoundError):
        opened(missing, endpoint=emulator.url).signing_key()
    with pytest.raises(KeyNotFoundError):
        opened(missing, endpoint=emulator.url).sign_digest(DIGEST)


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DROP, FaultKind.THROTTLE])
def test_a_request_to_sign_is_not_sent_again(
    emulator: EmulatedKms, key: str, kind: FaultKind
) -> None:
    device = opened(key, endpoint=emulator.url)
    assert device.sign_digest(DIGEST)
    before = emulator.calls()
    emulator.emulator.faults.add(kind)

    with pytest.raises(ProviderError) as caught:
        device.sign_digest(DIGEST)

    assert caught.value.retryable
    assert emulator.calls() == before + 1


def test_another_key_in_the_reply_is_refused(emulator: EmulatedKms, key: str) -> None:
    device = opened(key, endpoint=emulator.url)
    emulator.emulator.faults.add(FaultKind.WRONG_KEY_ID)

    with pytest.raises(ProviderError, match="signed with the key"):
        device.sign_digest(DIGEST)


def test_the_policy_of_the_page_is_enough_to_sign_and_no_more(
    emulator: EmulatedKms, key: str
) -> None:
    device = opened(key, endpoint=emulator.url)

    with emulator.statements(allow("kms:Sign")):
        assert device.sign_digest(DIGEST)
        with pytest.raises(PermissionDeniedError) as caught:
            device.signing_key()

    assert caught.value.permission == "kms:GetPublicKey"


def test_doctor_probes_the_permission_to_sign(emulator: EmulatedKms, key: str) -> None:
    device = opened(key, endpoint=emulator.url)
    before = emulator.emulator.transcript.calls().get("Sign", 0)

    granted = {probe.permission: probe.granted for probe in device.probe_permissions()}
    with emulator.statements(allow("kms:DescribeKey")):
        (sign, _) = device.probe_permissions()

    assert granted == {"kms:Sign": True, "kms:DescribeKey": True}
    assert (sign.need, sign.granted) == ("sign", False)
    assert "kms:Sign" in str(sign.grant)
    assert key in str(sign.grant)
    assert emulator.emulator.transcript.calls()["Sign"] == before + 2, "dry runs"


def test_an_unreachable_service_is_unavailable(key: str) -> None:
    with pytest.raises(UnavailableError):
        opened(key, endpoint="http://127.0.0.1:1").sign_digest(DIGEST)


@pytest.mark.parametrize("missing", ["kms:CreateKey", "kms:CreateAlias"])
def test_a_permission_that_creating_lacks_is_named(
    emulator: EmulatedKms, key: str, missing: str
) -> None:
    allowed = {"kms:DescribeKey", "kms:CreateKey", "kms:CreateAlias"} - {missing}
    name = new_alias(key)

    with (
        emulator.statements(*(allow(action) for action in sorted(allowed))),
        pytest.raises(PermissionDeniedError, match=missing) as caught,
    ):
        opened(name, endpoint=emulator.url).create_signing_key()

    assert caught.value.permission == missing
    assert ("was created" in str(caught.value.hint)) is (missing == "kms:CreateAlias")


def test_only_an_alias_can_be_created(key: str, emulator: EmulatedKms) -> None:
    with pytest.raises(SettingsError, match="KMS chooses the id"):
        opened(key, endpoint=emulator.url).create_signing_key()


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DROP])
def test_a_request_to_create_is_not_sent_again(
    emulator: EmulatedKms, key: str, kind: FaultKind
) -> None:
    emulator.emulator.faults.add(kind, operation="CreateKey")

    with pytest.raises(UnavailableError):
        opened(new_alias(key), endpoint=emulator.url).create_signing_key()

    assert emulator.emulator.transcript.calls()["CreateKey"] == 1
