"""How long a call may take, with the client's own retries on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from ksm_storage.errors import ThrottledError, UnavailableError

from .emulated_kms import EmulatedKms
from .opening import AAD, open_kek
from .scripted_kms import ARN, DEK, Answer, ScriptedKms, refusal, unwrapped
from .test_wire import SYMMETRIC

FAILING = refusal("KMSInternalException", status=500)

BRIEF = {"read_timeout": 0.3, "connect_timeout": 0.2, "direct_call": False}


def test_a_failure_that_passes_is_retried(scripted: ScriptedKms) -> None:
    scripted.answers = [FAILING, FAILING, unwrapped()]

    with open_kek(ARN, scripted.url) as kek:
        assert kek.unwrap(SYMMETRIC, aad=AAD) == DEK

    assert len(scripted.asked) == 3


def test_a_failure_that_stays_is_tried_three_times(scripted: ScriptedKms) -> None:
    scripted.answer = FAILING

    with open_kek(ARN, scripted.url, direct_call=False) as kek, pytest.raises(UnavailableError):
        kek.unwrap(SYMMETRIC, aad=AAD)

    assert len(scripted.asked) == 3


def test_a_refusal_is_not_retried(scripted: ScriptedKms) -> None:
    scripted.answer = refusal("KMSInvalidStateException")

    with (
        open_kek(ARN, scripted.url, direct_call=False) as kek,
        pytest.raises(Exception, match="state"),
    ):
        kek.unwrap(SYMMETRIC, aad=AAD)

    assert len(scripted.asked) == 1


def test_no_retry_begins_that_could_end_after_the_deadline(scripted: ScriptedKms) -> None:
    scripted.answer = refusal("ThrottlingException")

    # A pause of up to a second and an attempt of up to half a second do not fit.
    with (
        open_kek(ARN, scripted.url, deadline=1.2, **BRIEF) as kek,
        pytest.raises(ThrottledError),
    ):
        kek.unwrap(SYMMETRIC, aad=AAD)

    assert len(scripted.asked) == 1


def test_a_pause_that_kms_asks_for_counts(scripted: ScriptedKms) -> None:
    body = FAILING.body
    scripted.answer = Answer(500, body, headers={"x-amz-retry-after": "4000"})

    with (
        open_kek(ARN, scripted.url, deadline=5.0, **BRIEF) as kek,
        pytest.raises(UnavailableError),
    ):
        kek.unwrap(SYMMETRIC, aad=AAD)

    assert len(scripted.asked) == 1


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_silent_service_is_given_up_within_the_deadline(
    silent: str, any_credentials: None
) -> None:
    started = time.monotonic()

    with open_kek(ARN, silent, deadline=0.6) as kek, pytest.raises(UnavailableError):
        kek.unwrap(SYMMETRIC, aad=AAD)

    # The time-outs of one attempt, longer by default, were shortened to fit.
    assert time.monotonic() - started < 1.0


def test_each_call_has_a_deadline_of_its_own(scripted: ScriptedKms) -> None:
    with open_kek(ARN, scripted.url, deadline=2.2, read_timeout=0.5, connect_timeout=0.5) as kek:
        for _ in range(3):
            scripted.answers = [FAILING]

            assert kek.unwrap(SYMMETRIC, aad=AAD) == DEK


def test_the_service_that_assumes_the_role_shares_the_deadline(
    emulator: EmulatedKms, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", silent)
    role = "arn:aws:iam::111122223333:role/app"
    started = time.monotonic()

    with (
        open_kek(ARN, emulator.url, role_arn=role, deadline=0.6) as kek,
        pytest.raises(UnavailableError),
    ):
        kek.unwrap(SYMMETRIC, aad=AAD)

    assert time.monotonic() - started < 1.0


def test_probing_for_the_credentials_of_an_instance_is_bounded(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent)
    monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "9")
    started = time.monotonic()

    with (
        open_kek(ARN, silent, metadata_timeout=1, metadata_attempts=1) as kek,
        pytest.raises(Exception, match="no AWS credentials found"),
    ):
        kek.unwrap(SYMMETRIC, aad=AAD)

    assert time.monotonic() - started < 3
