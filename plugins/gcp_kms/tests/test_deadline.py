"""How long a call may take, and what is tried again."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_gcp_kms.client import MAX_ATTEMPTS, _retry

from ksm_storage.errors import KsmStorageError, ProviderError, ThrottledError, UnavailableError
from ksm_storage.plugin import WrappedDek, deadline_of

from .emulated_kms import EmulatedKms
from .opening import AAD, DEK, open_kek
from .scripted_kms import KEY, VERSION, ScriptedKms, decrypted, refused, replied

WRAPPED = WrappedDek(VERSION, "GOOGLE_SYMMETRIC_ENCRYPTION", b"c" * 100)


@pytest.mark.parametrize(
    "code", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"]
)
def test_a_failure_that_passes_is_tried_again(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], code: str
) -> None:
    scripted.answers = [refused(code)]
    scripted.answer = replied(decrypted(DEK))

    with open_kek(KEY, scripted_settings) as kek:
        assert kek.unwrap(WRAPPED, aad=AAD) == DEK

    assert len(scripted.asked) == 2


@pytest.mark.parametrize(
    "code", ["PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT"]
)
def test_a_refusal_is_not_tried_again(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], code: str
) -> None:
    scripted.answer = refused(code)

    with open_kek(KEY, scripted_settings) as kek, pytest.raises(KsmStorageError):
        kek.unwrap(WRAPPED, aad=AAD)

    assert len(scripted.asked) == 1


def test_a_failure_that_stays_is_tried_a_few_times(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    scripted.answer = refused("UNAVAILABLE")

    # The client's own retry would go on for a minute.
    with open_kek(KEY, scripted_settings) as kek, pytest.raises(UnavailableError):
        kek.unwrap(WRAPPED, aad=AAD)

    assert len(scripted.asked) == MAX_ATTEMPTS


def test_a_wait_that_is_longer_than_the_deadline_is_not_begun(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object]
) -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=30))
    scripted.answer = refused("RESOURCE_EXHAUSTED", details=[delay])

    with open_kek(KEY, scripted_settings) as kek, pytest.raises(ThrottledError):
        kek.unwrap(WRAPPED, aad=AAD)

    assert len(scripted.asked) == 1


def test_the_retry_of_a_call_ends_with_its_deadline() -> None:
    # The last pause must not overrun it either; by how much it would is left to chance.
    with deadline_of(3.0):
        assert 0 < _retry().timeout <= 3.0


def test_no_attempt_begins_after_the_deadline(
    scripted: ScriptedKms, scripted_settings: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ksm_storage_gcp_kms.client.MAX_ATTEMPTS", 1000)
    scripted.answer = refused("UNAVAILABLE")
    started = time.monotonic()

    with open_kek(KEY, scripted_settings, deadline=0.5) as kek, pytest.raises(UnavailableError):
        kek.unwrap(WRAPPED, aad=AAD)

    assert time.monotonic() - started < 2.0


def test_a_silent_service_is_given_up_at_the_deadline(slow_kms: EmulatedKms) -> None:
    slow_kms.emulator.faults.add(FaultKind.LATENCY, seconds=2.0)
    key = slow_kms.create_key()
    started = time.monotonic()

    # The one attempt would have time enough, and is shortened to what is left.
    settings = {**slow_kms.settings, "attempt_timeout": 5.0, "deadline": 0.5}
    with open_kek(key.name, settings) as kek, pytest.raises(UnavailableError, match="in time"):
        kek.wrap(DEK, aad=AAD)

    assert 0.5 <= time.monotonic() - started < 1.5


def test_an_attempt_that_hangs_is_tried_again_within_the_deadline(slow_kms: EmulatedKms) -> None:
    slow_kms.emulator.faults.add(FaultKind.LATENCY, seconds=1.5, times=1)
    key = slow_kms.create_key()

    with open_kek(key.name, slow_kms.settings, attempt_timeout=0.5) as kek:
        kek.wrap(DEK, aad=AAD)

    # The first is still waiting, and is written down when it is answered.
    assert slow_kms.emulator.transcript.count("Encrypt") == 1


def test_a_certificate_that_is_not_trusted_is_told_at_once(
    kms_tls: EmulatedKms, key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ksm_storage_gcp_kms.client.MAX_ATTEMPTS", 1000)
    settings = {
        "endpoint": kms_tls.url,
        "credential": "service-account",
        "credentials_file": key_file,
    }
    started = time.monotonic()

    with open_kek(KEY, settings) as kek, pytest.raises(ProviderError, match="not trusted") as error:
        kek.wrap(DEK, aad=AAD)

    assert type(error.value) is ProviderError
    assert time.monotonic() - started < 3.0
