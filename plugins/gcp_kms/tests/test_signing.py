"""A device key in Cloud KMS signs, and nothing else stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from uuid import uuid4

import pytest
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR
from ksm_storage_gcp_kms import signing
from ksm_storage_gcp_kms.key_wrapper import GcpKmsKeyWrapper

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
ALGORITHM = "EC_SIGN_P256_SHA256"


def opened(key: str, kms: EmulatedKms) -> GcpKmsKeyWrapper:
    wrapper = open_kek(key, kms.settings).wrapper
    assert isinstance(wrapper, GcpKmsKeyWrapper)
    return wrapper


@pytest.fixture
def key(kms: EmulatedKms) -> str:
    return str(kms.create_key(algorithm=ALGORITHM).versions[0].name)


class TestSigning(SigningConformance):
    """The promises of the ability, over the strict emulator."""

    provider = "gcp-kms"

    @pytest.fixture
    def settings(self, kms: EmulatedKms) -> Mapping[str, object]:
        return kms.settings

    @pytest.fixture
    def key_id(self, key: str) -> str:
        return key

    @pytest.fixture
    def other_key_id(self, kms: EmulatedKms) -> str:
        return str(kms.create_key(algorithm=ALGORITHM).versions[0].name)

    @pytest.fixture
    def new_key_id(self, key: str) -> str:
        return new_name(key)

    @pytest.fixture
    def count_calls(self, kms: EmulatedKms) -> Callable[[], int]:
        return kms.calls


def test_a_name_without_a_version_does_not_sign(kms: EmulatedKms, key: str) -> None:
    device = opened(key.partition("/cryptoKeyVersions/")[0], kms)

    with pytest.raises(SettingsError, match="has no version in its name"):
        device.signing_key()
    with pytest.raises(SettingsError, match="has no version in its name"):
        device.sign_digest(DIGEST)


def test_a_disabled_version_stops_the_device_at_its_next_request(
    kms: EmulatedKms, key: str
) -> None:
    device = opened(key, kms)
    assert device.sign_digest(DIGEST)

    kms.set_state(key, "DISABLED")
    with pytest.raises(KeyStateError, match="is disabled"):
        device.sign_digest(DIGEST)
    assert device.describe_key().state == "disabled"
    kms.set_state(key, "ENABLED")

    assert device.sign_digest(DIGEST)


@pytest.mark.parametrize(
    "algorithm", ["GOOGLE_SYMMETRIC_ENCRYPTION", "RSA_DECRYPT_OAEP_2048_SHA256"]
)
def test_a_key_of_another_kind_is_refused(kms: EmulatedKms, algorithm: str) -> None:
    other = opened(kms.create_key(algorithm=algorithm).versions[0].name, kms)

    with pytest.raises(KeyStateError):
        other.signing_key()
    with pytest.raises(KeyStateError):
        other.sign_digest(DIGEST)


def test_a_missing_version_is_not_found(kms: EmulatedKms, key: str) -> None:
    with pytest.raises(KeyNotFoundError):
        opened(key.removesuffix("/1") + "/7", kms).sign_digest(DIGEST)


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DROP, FaultKind.THROTTLE])
def test_a_request_to_sign_is_not_sent_again(kms: EmulatedKms, key: str, kind: FaultKind) -> None:
    device = opened(key, kms)
    assert device.sign_digest(DIGEST)
    before = kms.calls()
    kms.emulator.faults.add(kind)

    with pytest.raises(ProviderError) as caught:
        device.sign_digest(DIGEST)

    assert caught.value.retryable
    assert kms.calls() == before + 1


def test_a_damaged_signature_is_unavailable(kms: EmulatedKms, key: str) -> None:
    device = opened(key, kms)
    kms.emulator.faults.add(FaultKind.WRONG_CHECKSUM)

    with pytest.raises(UnavailableError, match="'signature'"):
        device.sign_digest(DIGEST)


def test_another_key_in_the_reply_is_refused(kms: EmulatedKms, key: str) -> None:
    device = opened(key, kms)
    kms.emulator.faults.add(FaultKind.WRONG_KEY_ID)

    with pytest.raises(ProviderError, match="signed with the key"):
        device.sign_digest(DIGEST)


def test_the_role_of_the_page_is_enough_to_sign_and_no_more(kms: EmulatedKms, key: str) -> None:
    device = opened(key, kms)
    kms.service.policy.revoke(ADMINISTRATOR)
    kms.service.policy.grant(ADMINISTRATOR, ["cloudkms.cryptoKeyVersions.useToSign"])
    try:
        assert device.sign_digest(DIGEST)
        with pytest.raises(PermissionDeniedError) as caught:
            device.signing_key()
    finally:
        kms.service.policy.grant(ADMINISTRATOR, ["*"])

    assert caught.value.permission == "cloudkms.cryptoKeyVersions.viewPublicKey"


def test_doctor_probes_the_permission_to_sign(kms: EmulatedKms, key: str) -> None:
    probes = {probe.permission: probe for probe in opened(key, kms).probe_permissions()}

    assert probes["cloudkms.cryptoKeyVersions.useToSign"].need == "sign"
    assert probes["cloudkms.cryptoKeyVersions.useToSign"].granted is True
    assert "cloudkms.cryptoKeyVersions.useToDecrypt" not in probes


def test_the_permission_that_creating_lacks_is_named(kms: EmulatedKms, key: str) -> None:
    ring = key.partition("/cryptoKeys/")[0]
    kms.service.policy.revoke(ADMINISTRATOR)
    try:
        with pytest.raises(PermissionDeniedError) as caught:
            opened(f"{ring}/cryptoKeys/{uuid4().hex}", kms).create_signing_key()
    finally:
        kms.service.policy.grant(ADMINISTRATOR, ["*"])

    assert caught.value.permission == "cloudkms.cryptoKeys.create"


def test_a_name_with_a_version_is_not_created(kms: EmulatedKms, key: str) -> None:
    with pytest.raises(SettingsError, match="has a version"):
        opened(key, kms).create_signing_key()


@pytest.fixture
def waits(kms: EmulatedKms, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Let the plugin's pauses pass on the service's clock instead, and return them."""
    slept: list[float] = []
    kms.service.clock.freeze()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        kms.service.clock.advance(seconds)

    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=sleep)
    monkeypatch.setattr(signing, "time", clock)
    yield slept
    kms.service.generate_for(0)
    kms.service.clock.reset()


def test_a_new_key_is_returned_once_its_pair_is_generated(
    kms: EmulatedKms, key: str, waits: list[float]
) -> None:
    kms.service.generate_for(1.2)

    created = opened(new_name(key), kms).create_signing_key()

    assert waits == [0.5] * 3
    assert opened(created, kms).sign_digest(DIGEST)


def test_a_pair_that_is_not_generated_by_the_deadline_is_an_error(
    kms: EmulatedKms, key: str, waits: list[float]
) -> None:
    kms.service.generate_for(3600)
    name = new_name(key)
    wrapper = open_kek(name, kms.settings, deadline=10.0).wrapper
    assert isinstance(wrapper, GcpKmsKeyWrapper)

    with pytest.raises(KeyStateError, match="still being generated"):
        wrapper.create_signing_key()

    assert sum(waits) == 10.5
    with pytest.raises(KeyStateError, match="still being generated"):
        opened(f"{name}/cryptoKeyVersions/1", kms).sign_digest(DIGEST)


def new_name(key: str) -> str:
    """Return the name of a key that is free, in the ring of another one."""
    return f"{key.partition('/cryptoKeys/')[0]}/cryptoKeys/{uuid4().hex}"
