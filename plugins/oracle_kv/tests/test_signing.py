"""A device key in a vault signs, and nothing else stands in for it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.oci_vault.identities import Grant
from ksm_storage_emulators.oci_vault.keys import ECDSA
from ksm_storage_oracle_kv.key_wrapper import OracleKeyWrapper

from ksm_storage.plugin import (
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    UnavailableError,
)
from ksm_storage.testing.signing_tests import SigningConformance

from .emulated_vault import EmulatedVault
from .opening import open_kek
from .scripted_vault import KEY, VERSION, ScriptedVault, signed

DIGEST = bytes(range(32))


def opened(key: str, endpoint: str) -> OracleKeyWrapper:
    wrapper = open_kek(key, endpoint, deadline=1.0).wrapper
    assert isinstance(wrapper, OracleKeyWrapper)
    return wrapper


def new_key(emulator: EmulatedVault) -> str:
    key = emulator.service.create_key(algorithm=ECDSA)
    return f"{key.ocid}/{key.current.ocid}"


@pytest.fixture
def key(emulator: EmulatedVault) -> str:
    return new_key(emulator)


class TestSigning(SigningConformance):
    """The promises of the ability, over the strict emulator."""

    provider = "oracle-kv"

    @pytest.fixture
    def settings(self, emulator: EmulatedVault) -> Mapping[str, object]:
        return {"endpoint": emulator.url, "deadline": 1.0}

    @pytest.fixture
    def key_id(self, key: str) -> str:
        return key

    @pytest.fixture
    def other_key_id(self, emulator: EmulatedVault) -> str:
        return new_key(emulator)

    @pytest.fixture
    def count_calls(self, emulator: EmulatedVault) -> Callable[[], int]:
        return lambda: emulator.emulator.transcript.calls().get("Sign", 0)


def test_a_name_without_a_version_resolves_and_does_not_sign(
    emulator: EmulatedVault, key: str
) -> None:
    device = opened(key.partition("/")[0], emulator.url)

    assert device.signing_key().key_id == key
    with pytest.raises(SettingsError, match="has no version in its name"):
        device.sign_digest(DIGEST)


def test_a_device_keeps_its_key_when_the_key_is_rotated(emulator: EmulatedVault, key: str) -> None:
    device = opened(key, emulator.url)
    before = device.signing_key()

    emulator.rotate(key.partition("/")[0])

    assert device.signing_key() == before
    assert device.sign_digest(DIGEST)
    assert opened(key.partition("/")[0], emulator.url).signing_key() != before


def test_a_disabled_key_stops_the_device_at_its_next_request(
    emulator: EmulatedVault, key: str
) -> None:
    device = opened(key, emulator.url)
    assert device.sign_digest(DIGEST)

    with emulator.provoked("disabled", key.partition("/")[0]):
        with pytest.raises(KeyStateError, match="disabled"):
            device.sign_digest(DIGEST)
        assert device.describe_key().state == "disabled"

    assert device.sign_digest(DIGEST)


@pytest.mark.parametrize(
    ("algorithm", "length"), [("AES", 32), ("RSA", 256), (ECDSA, 48), (ECDSA, 66)]
)
def test_a_key_of_another_kind_is_refused(
    emulator: EmulatedVault, algorithm: str, length: int
) -> None:
    found = emulator.service.create_key(algorithm=algorithm, length=length)
    other = opened(f"{found.ocid}/{found.current.ocid}", emulator.url)

    with pytest.raises(KeyStateError, match="not a P-256 signing key"):
        other.signing_key()
    if algorithm != ECDSA:
        with pytest.raises(KeyStateError, match="cannot sign with ECDSA_SHA_256"):
            other.sign_digest(DIGEST)


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DROP, FaultKind.THROTTLE])
def test_a_request_to_sign_is_not_sent_again(
    emulator: EmulatedVault, key: str, kind: FaultKind
) -> None:
    device = opened(key, emulator.url)
    assert device.sign_digest(DIGEST)
    before = emulator.calls()
    emulator.emulator.faults.add(kind)

    with pytest.raises(ProviderError) as caught:
        device.sign_digest(DIGEST)

    assert caught.value.retryable
    assert emulator.calls() == before + 1


def test_another_key_in_the_reply_is_refused(emulator: EmulatedVault, key: str) -> None:
    device = opened(key, emulator.url)
    emulator.emulator.faults.add(FaultKind.WRONG_KEY_ID)

    with pytest.raises(ProviderError, match="signed with another key"):
        device.sign_digest(DIGEST)


def test_r_and_s_side_by_side_become_der(scripted: ScriptedVault) -> None:
    raw = b"\x80" * 32 + b"\x01" * 32
    scripted.answer = signed(signature=base64.b64encode(raw).decode())

    signature = opened(f"{KEY}/{VERSION}", scripted.url).sign_digest(DIGEST)

    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    assert decode_dss_signature(signature) == (r, s)
    assert scripted.asked[-1].body == {
        "keyId": KEY,
        "keyVersionId": VERSION,
        "message": base64.b64encode(DIGEST).decode(),
        "messageType": "DIGEST",
        "signingAlgorithm": "ECDSA_SHA_256",
    }


@pytest.mark.parametrize("signature", [None, "", "not base64"])
def test_a_reply_without_a_signature_is_unavailable(
    scripted: ScriptedVault, signature: str | None
) -> None:
    scripted.answer = signed(signature=signature)

    with pytest.raises(UnavailableError, match="'signature'"):
        opened(f"{KEY}/{VERSION}", scripted.url).sign_digest(DIGEST)


def test_the_policy_of_the_page_is_enough_to_sign_and_no_more(
    emulator: EmulatedVault, key: str
) -> None:
    device = opened(key, emulator.url)

    with emulator.grants(Grant("KEY_SIGN")):
        assert device.sign_digest(DIGEST)
        with pytest.raises(PermissionDeniedError) as caught:
            device.signing_key()

    assert caught.value.permission == "KEY_READ"


@pytest.mark.parametrize("read", [True, False])
def test_doctor_probes_the_permission_to_sign(
    emulator: EmulatedVault, key: str, read: bool
) -> None:
    device = opened(key, emulator.url)
    reading = [Grant("KEY_READ")] if read else []

    with emulator.grants(Grant("KEY_SIGN"), *reading):
        granted = {probe.permission: probe.granted for probe in device.probe_permissions()}
    with emulator.grants(Grant("KEY_READ")):
        missing = device.probe_permissions()[0]

    assert granted == {"KEY_SIGN": True, "KEY_READ": read}
    assert (missing.need, missing.granted) == ("sign", False)
    assert missing.grant == (
        "Allow group GROUP to {KEY_SIGN} in compartment COMPARTMENT "
        f"where target.key.id = '{key.partition('/')[0]}'"
    )
