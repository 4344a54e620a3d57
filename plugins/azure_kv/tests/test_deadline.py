"""Retries end in time; what is repeated, and what the Azure client would not repeat by itself."""

from __future__ import annotations

import time

import pytest
from azure.core.exceptions import ServiceResponseError
from ksm_storage_emulators.faults import FaultKind

from ksm_storage import errors

from .emulated_vault import EmulatedVault
from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, ScriptedVault, refusal, wrapped
from .test_traps import RSA, Sdk

THROTTLED = refusal(429, "Throttled")


@pytest.mark.parametrize(
    "answer",
    [
        refusal(429, "Throttled", headers={"Retry-After": "0.01"}),
        THROTTLED,
        refusal(500, "InternalServerError"),
        refusal(503, "ServiceUnavailable"),
        refusal(504, "GatewayTimeout"),
    ],
    ids=["429 with advice", "429", "500", "503", "504"],
)
def test_a_passing_failure_is_tried_again(scripted: ScriptedVault, answer: object) -> None:
    scripted.answer(answer, wrapped())  # type: ignore[arg-type]  # parametrised

    with open_kek(KEY, scripted.settings) as kek:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 2


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.TRUNCATE])
def test_a_connection_that_fails_is_tried_again_because_the_call_changes_nothing(
    scripted: ScriptedVault, kind: FaultKind
) -> None:
    scripted.answer(wrapped())
    scripted.emulator.faults.add(kind, operation="wrapKey", times=1)

    with open_kek(KEY, scripted.settings) as kek:
        kek.wrap(DEK, aad=AAD)

    assert scripted.emulator.transcript.count("wrapKey") == 2


@pytest.mark.parametrize(
    ("kind", "count"), [(FaultKind.DROP, 1), (FaultKind.HANG, 0)], ids=["drop", "hang"]
)
def test_the_client_by_itself_does_not_repeat_a_post_whose_connection_failed(
    emulator: EmulatedVault, kind: FaultKind, count: int
) -> None:
    vault = emulator.new_vault()
    key = emulator.new_key(vault)
    cryptography = Sdk(emulator, vault.host).cryptography(key.kid)
    recorded = cryptography.wrap_key(RSA, DEK)
    emulator.emulator.faults.add(kind, operation="unwrapKey", times=1)

    with pytest.raises(ServiceResponseError):
        cryptography.unwrap_key(RSA, recorded.encrypted_key, read_timeout=0.2)

    # A call that hangs is counted when it ends; none came after it.
    assert emulator.emulator.transcript.count("unwrapKey") == count


def test_advice_to_wait_longer_than_the_deadline_is_told_at_once(scripted: ScriptedVault) -> None:
    scripted.answer(refusal(429, "Throttled", headers={"Retry-After": "3600"}))
    started = time.monotonic()

    with open_kek(KEY, scripted.settings) as kek, pytest.raises(errors.ThrottledError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert len(scripted.asked) == 1
    assert time.monotonic() - started < 10
    assert "3600 seconds" in str(caught.value.hint)
    assert caught.value.request_id


def test_a_service_that_fails_for_good_is_given_up_within_the_deadline(
    scripted: ScriptedVault,
) -> None:
    scripted.answer(refusal(503, "ServiceUnavailable"))

    with (
        open_kek(KEY, scripted.settings, deadline=1.0) as kek,
        pytest.raises(errors.UnavailableError),
    ):
        kek.wrap(DEK, aad=AAD)

    # The second attempt follows at once, the third would wait for longer than is left.
    assert len(scripted.asked) == 2


def test_a_vault_that_never_answers_is_given_up_within_the_deadline(
    scripted: ScriptedVault,
) -> None:
    scripted.answer(wrapped())
    started = time.monotonic()
    with open_kek(KEY, scripted.settings, deadline=0.5) as kek:
        kek.wrap(DEK, aad=AAD)
        scripted.emulator.faults.add(FaultKind.HANG, operation="wrapKey")

        with pytest.raises(errors.UnavailableError, match="in time"):
            kek.wrap(DEK, aad=AAD)

    assert time.monotonic() - started < 5


def test_an_attempt_ends_at_the_read_timeout(scripted: ScriptedVault) -> None:
    scripted.answer(wrapped())
    scripted.emulator.faults.add(FaultKind.HANG, operation="wrapKey", times=1)

    with open_kek(KEY, scripted.settings, read_timeout=0.2) as kek:
        kek.wrap(DEK, aad=AAD)

    # The one that hangs is not answered; the one after it is.
    assert len(scripted.asked) == 1


def test_a_token_endpoint_that_never_answers_is_given_up_within_its_own_bound(
    scripted: ScriptedVault,
) -> None:
    scripted.emulator.faults.add(FaultKind.HANG, operation="token")
    started = time.monotonic()

    with (
        open_kek(KEY, scripted.settings, credential_timeout=0.3) as kek,
        # Which of the two sees the end of the bound first is a matter of chance.
        pytest.raises((errors.UnavailableError, errors.AuthenticationError)),
    ):
        kek.wrap(DEK, aad=AAD)

    assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.DROP])
def test_a_token_endpoint_that_fails_is_unavailable(
    scripted: ScriptedVault, kind: FaultKind
) -> None:
    scripted.emulator.faults.add(kind, operation="token", status=503)

    with (
        open_kek(KEY, scripted.settings, credential_timeout=1.5) as kek,
        pytest.raises(errors.UnavailableError, match="issues the Azure credentials"),
    ):
        kek.wrap(DEK, aad=AAD)


def test_the_deadline_holds_for_the_token_too(scripted: ScriptedVault) -> None:
    scripted.emulator.faults.add(FaultKind.HANG, operation="token")
    started = time.monotonic()

    with (
        open_kek(KEY, scripted.settings, deadline=0.5) as kek,
        pytest.raises((errors.UnavailableError, errors.AuthenticationError)),
    ):
        kek.wrap(DEK, aad=AAD)

    assert time.monotonic() - started < 5


def test_a_token_endpoint_that_throttles_is_a_throttled_error(scripted: ScriptedVault) -> None:
    scripted.emulator.faults.add(FaultKind.THROTTLE, operation="token", retry_after_seconds=3600)

    with (
        open_kek(KEY, scripted.settings) as kek,
        pytest.raises(errors.ThrottledError, match="Entra ID"),
    ):
        kek.wrap(DEK, aad=AAD)
