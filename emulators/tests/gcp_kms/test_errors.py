"""Each documented error, over the wire."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument

from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.errors import ERRORS
from ksm_storage_emulators.gcp_kms.keys import CryptoKey
from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, KEY_RING, GcpKmsService

from .conftest import SCOPE, Caller

Kms = Emulator[GcpKmsService]
Situation = Callable[[Kms, Caller], object]
ENCRYPT = {"plaintext": b"p"}


def _key(kms: Kms, algorithm: str = "GOOGLE_SYMMETRIC_ENCRYPTION") -> CryptoKey:
    return kms.service.create_key(f"key-{uuid4().hex}", algorithm=algorithm)


def _bearer(kms: Kms, *, email: str = ADMINISTRATOR, scope: str = SCOPE) -> str:
    return f"Bearer {kms.service.tokens.issue(email, frozenset([scope]))}"


def _expired(kms: Kms, call: Caller) -> object:
    authorization = _bearer(kms)
    kms.clock.advance(3601)
    return call("encrypt", name=_key(kms).name, authorization=authorization, **ENCRYPT)


def _disabled(kms: Kms, call: Caller) -> object:
    key = _key(kms)
    wanted = {"name": key.versions[0].name, "state": "DISABLED"}
    call("update_crypto_key_version", crypto_key_version=wanted, update_mask={"paths": ["state"]})
    return call("encrypt", name=key.name, **ENCRYPT)


def _without_primary(kms: Kms, call: Caller) -> object:
    key = _key(kms)
    key.primary = None
    return call("encrypt", name=key.name, **ENCRYPT)


def _decrypt_with(kms: Kms, call: Caller, *, key: str | None = None, cut: int = 0) -> object:
    name = _key(kms).name
    ciphertext = call("encrypt", name=name, **ENCRYPT).ciphertext
    return call("decrypt", name=key or name, ciphertext=ciphertext[: len(ciphertext) - cut])


def _faulty(kind: FaultKind, **details: int) -> Situation:
    def situation(kms: Kms, call: Caller) -> object:
        kms.faults.add(kind, **details)  # type: ignore[arg-type]  # a status is an int
        return call("encrypt", name=_key(kms).name, **ENCRYPT)

    return situation


SITUATIONS: dict[str, Situation] = {
    "no credentials": lambda kms, call: call(
        "encrypt", name=_key(kms).name, authorization=None, **ENCRYPT
    ),
    "unknown token": lambda kms, call: call(
        "encrypt", name=_key(kms).name, authorization="Bearer junk", **ENCRYPT
    ),
    "expired token": _expired,
    "narrow token": lambda kms, call: call(
        "encrypt", name=_key(kms).name, authorization=_bearer(kms, scope="email"), **ENCRYPT
    ),
    "denied": lambda kms, call: call(
        "encrypt", name=_key(kms).name, authorization=_bearer(kms, email="x@y"), **ENCRYPT
    ),
    "foreign quota project": lambda kms, call: call(
        "encrypt",
        name=_key(kms).name,
        authorization=_bearer(kms, email="x@y"),
        quota_project="billing",
        **ENCRYPT,
    ),
    "not found": lambda kms, call: call("encrypt", name=f"{KEY_RING}/cryptoKeys/no", **ENCRYPT),
    "state": _disabled,
    "no primary": _without_primary,
    "purpose": lambda kms, call: call("encrypt", name=_key(kms, "AES_256_GCM").name, **ENCRYPT),
    "transition": lambda kms, call: call(
        "restore_crypto_key_version", name=_key(kms).versions[0].name
    ),
    # The service takes the key's name here and finds the version by itself.
    "malformed name": lambda kms, call: call(
        "decrypt", name=_key(kms).versions[0].name, ciphertext=b"c"
    ),
    "argument": lambda kms, call: call("encrypt", name=_key(kms).name, plaintext=bytes(65537)),
    "checksum": lambda kms, call: call(
        "encrypt", name=_key(kms).name, plaintext=b"p", plaintext_crc32c=1
    ),
    "wrong key": lambda kms, call: _decrypt_with(kms, call, key=_key(kms).name),
    "invalid ciphertext": lambda kms, call: _decrypt_with(kms, call, cut=1),
    "asymmetric": lambda kms, call: call(
        "asymmetric_decrypt",
        name=_key(kms, "RSA_DECRYPT_OAEP_2048_SHA256").versions[0].name,
        ciphertext=bytes(256),
    ),
    "quota": _faulty(FaultKind.THROTTLE),
    "internal": _faulty(FaultKind.ERROR, status=500),
    "unavailable": _faulty(FaultKind.ERROR, status=503),
    "late": _faulty(FaultKind.ERROR, status=504),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation_is_its_documented_error(kms: Kms, call: Caller, situation: str) -> None:
    row = ERRORS[situation]

    with pytest.raises(GoogleAPICallError) as caught:
        SITUATIONS[situation](kms, call)

    assert getattr(caught.value.grpc_status_code, "name", None) == row.code
    assert caught.value.reason == row.reason
    assert row.message.partition("{")[0] in caught.value.message


def test_there_is_always_something_to_encrypt(kms: Kms, call: Caller) -> None:
    with pytest.raises(InvalidArgument, match="must not be empty"):
        call("encrypt", name=_key(kms).name, plaintext=b"")


def test_every_row_has_a_test_and_a_page() -> None:
    # Making keys is not part of the wire; its error has a test below.
    assert set(ERRORS) - set(SITUATIONS) == {"exists"}
    assert [row for row in ERRORS.values() if not row.page.startswith("https://")] == []


def test_a_state_comes_with_the_violation_that_names_it(kms: Kms, call: Caller) -> None:
    with pytest.raises(GoogleAPICallError) as caught:
        _disabled(kms, call)

    [failure] = caught.value.details
    assert [violation.type for violation in failure.violations] == ["KEY_DISABLED"]


def test_a_denial_names_the_permission(kms: Kms, call: Caller) -> None:
    with pytest.raises(GoogleAPICallError) as caught:
        SITUATIONS["denied"](kms, call)

    assert caught.value.metadata["permission"] == "cloudkms.cryptoKeyVersions.useToEncrypt"


def test_a_key_cannot_be_made_twice(kms: Kms) -> None:
    key = _key(kms)

    with pytest.raises(Exception, match="already exists"):
        kms.service.create_key(key.name.rpartition("/")[2])


def test_a_wait_that_is_advised_travels_with_the_error(kms: Kms, call: Caller) -> None:
    kms.faults.add(FaultKind.THROTTLE, retry_after_seconds=7)

    with pytest.raises(GoogleAPICallError) as caught:
        call("encrypt", name=_key(kms).name, **ENCRYPT)

    delays = [detail for detail in caught.value.details if hasattr(detail, "retry_delay")]
    assert delays[0].retry_delay.seconds == 7
