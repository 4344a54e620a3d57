"""A device key in a vault signs, and nothing else stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

import pytest
from ksm_storage_azure_kv.key_wrapper import AzureKeyWrapper
from ksm_storage_emulators.azure_key_vault.vaults import EVERYTHING
from ksm_storage_emulators.faults import FaultKind

from ksm_storage.plugin import (
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
)
from ksm_storage.testing.signing_tests import SigningConformance

from .emulated_vault import EmulatedVault
from .opening import open_wrapper

DIGEST = bytes(range(32))


def opened(key: str, emulator: EmulatedVault) -> AzureKeyWrapper:
    wrapper = open_wrapper(key, {**emulator.settings, "deadline": 1.0})
    assert isinstance(wrapper, AzureKeyWrapper)
    return wrapper


def new_key(emulator: EmulatedVault, name: str = "device") -> str:
    return emulator.service.create_key(name, vault=emulator.shared_vault(), kty="EC").kid


@pytest.fixture
def key(emulator: EmulatedVault) -> str:
    return new_key(emulator)


class TestSigning(SigningConformance):
    """The promises of the ability, over the strict emulator."""

    provider = "azure-kv"

    @pytest.fixture
    def settings(self, emulator: EmulatedVault) -> Mapping[str, object]:
        return emulator.settings

    @pytest.fixture
    def key_id(self, key: str) -> str:
        return key

    @pytest.fixture
    def other_key_id(self, emulator: EmulatedVault) -> str:
        return new_key(emulator, "other-device")

    @pytest.fixture
    def new_key_id(self, key: str) -> str:
        return f"{key.partition('/keys/')[0]}/keys/{uuid4().hex}"

    @pytest.fixture
    def count_calls(self, emulator: EmulatedVault) -> Callable[[], int]:
        return lambda: emulator.emulator.transcript.calls().get("sign", 0)


def test_a_name_without_a_version_resolves_and_does_not_sign(
    emulator: EmulatedVault, key: str
) -> None:
    device = opened(key.rpartition("/")[0], emulator)

    assert device.signing_key().key_id == key
    with pytest.raises(SettingsError, match="has no version in its name"):
        device.sign_digest(DIGEST)


def test_a_device_keeps_its_key_when_the_key_is_rotated(emulator: EmulatedVault, key: str) -> None:
    device = opened(key, emulator)
    before = device.signing_key()

    assert new_key(emulator) != key

    assert device.signing_key() == before
    assert device.sign_digest(DIGEST)


def test_a_disabled_key_stops_the_device_at_its_next_request(
    emulator: EmulatedVault, key: str
) -> None:
    device = opened(key, emulator)
    version = emulator.shared_vault().keys["device"].newest
    assert device.sign_digest(DIGEST)

    version.enabled = False
    with pytest.raises(KeyStateError, match="disabled"):
        device.sign_digest(DIGEST)
    assert device.describe_key().state == "disabled"
    version.enabled = True

    assert device.sign_digest(DIGEST)


def test_a_key_of_another_kind_is_refused(emulator: EmulatedVault) -> None:
    other = opened(emulator.shared_key(emulator.shared_vault(), "one").kid, emulator)

    with pytest.raises(KeyStateError, match="not a P-256 signing key"):
        other.signing_key()
    with pytest.raises(KeyStateError, match="ES256"):
        other.sign_digest(DIGEST)


def test_a_missing_key_is_not_found(emulator: EmulatedVault, key: str) -> None:
    with pytest.raises(KeyNotFoundError):
        opened(key.rpartition("/")[0] + "/" + "0" * 32, emulator).sign_digest(DIGEST)


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DROP, FaultKind.THROTTLE])
def test_a_request_to_sign_is_not_sent_again(
    emulator: EmulatedVault, key: str, kind: FaultKind
) -> None:
    device = opened(key, emulator)
    assert device.sign_digest(DIGEST)
    before = emulator.emulator.transcript.calls()["sign"]
    emulator.emulator.faults.add(kind)

    with pytest.raises(ProviderError) as caught:
        device.sign_digest(DIGEST)

    assert caught.value.retryable
    assert emulator.emulator.transcript.calls()["sign"] == before + 1


def test_another_key_in_the_reply_is_refused(emulator: EmulatedVault, key: str) -> None:
    device = opened(key, emulator)
    emulator.emulator.faults.add(FaultKind.WRONG_KEY_ID)

    with pytest.raises(ProviderError, match="signed with the key"):
        device.sign_digest(DIGEST)


def test_the_role_of_the_page_is_enough_to_sign_and_no_more(
    emulator: EmulatedVault, key: str
) -> None:
    device, vault = opened(key, emulator), emulator.shared_vault()
    administrator = emulator.service.administrator.principal.object_id
    vault.grant(administrator, ["sign"])
    try:
        assert device.sign_digest(DIGEST)
        with pytest.raises(PermissionDeniedError):
            device.signing_key()
    finally:
        vault.grant(administrator, [EVERYTHING])


def test_doctor_probes_the_permission_to_sign(emulator: EmulatedVault, key: str) -> None:
    vault = emulator.shared_vault()
    administrator = emulator.service.administrator.principal.object_id

    granted = {probe.need: probe.granted for probe in opened(key, emulator).probe_permissions()}
    vault.grant(administrator, ["get", "getrotationpolicy"])
    try:
        missing = opened(key, emulator).probe_permissions()[0]
    finally:
        vault.grant(administrator, [EVERYTHING])

    assert granted["sign"] is True
    assert "open" not in granted
    assert (missing.need, missing.granted) == ("sign", False)
    assert "Key Vault Crypto User" in str(missing.grant)


def test_the_permission_that_creating_lacks_is_named(emulator: EmulatedVault, key: str) -> None:
    vault = emulator.shared_vault()
    administrator = emulator.service.administrator.principal.object_id
    vault.grant(administrator, ["get"])
    try:
        with pytest.raises(PermissionDeniedError) as caught:
            opened(
                f"{key.partition('/keys/')[0]}/keys/{uuid4().hex}", emulator
            ).create_signing_key()
    finally:
        vault.grant(administrator, [EVERYTHING])

    assert str(caught.value.permission).endswith("keys/create/action")


def test_a_name_with_a_version_is_not_created(emulator: EmulatedVault, key: str) -> None:
    with pytest.raises(SettingsError, match="has a version"):
        opened(key, emulator).create_signing_key()
