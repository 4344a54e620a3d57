"""How long a call may take, with the client's own retries on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.errors import (
    AuthenticationError,
    KeyStateError,
    ThrottledError,
    UnavailableError,
)

from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, ScriptedVault, refusal, unwrapped
from .test_wire import AES

FAILING = refusal("InternalServerError", status=500)
SHORT: dict[str, object] = {"read_timeout": 0.3, "connect_timeout": 0.2, "direct_call": False}


@pytest.mark.parametrize(
    "failure",
    [FAILING, refusal("TooManyRequests", status=429), refusal("ServiceUnavailable", status=503)],
    ids=["failing", "throttled", "unavailable"],
)
def test_a_failure_that_passes_is_retried(scripted: ScriptedVault, failure: object) -> None:
    scripted.answers = [failure, unwrapped()]  # type: ignore[list-item]  # an Answer each

    with open_kek(KEY, scripted.url) as kek:
        assert kek.unwrap(AES, aad=AAD) == DEK

    assert len(scripted.asked) == 2


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("IncorrectState", 409, KeyStateError), ("NotAuthenticated", 401, AuthenticationError)],
)
def test_a_refusal_is_not_retried(
    scripted: ScriptedVault, code: str, status: int, kind: type[Exception]
) -> None:
    scripted.answer = refusal(code, status=status)

    with open_kek(KEY, scripted.url, direct_call=False) as kek, pytest.raises(kind):
        kek.unwrap(AES, aad=AAD)

    assert len(scripted.asked) == 1


def test_no_retry_begins_that_could_end_after_the_deadline(scripted: ScriptedVault) -> None:
    scripted.answer = refusal("TooManyRequests", status=429)

    # A pause of up to two seconds and an attempt of up to half a second do not fit.
    with open_kek(KEY, scripted.url, deadline=2.4, **SHORT) as kek, pytest.raises(ThrottledError):
        kek.unwrap(AES, aad=AAD)

    assert len(scripted.asked) == 1


def test_a_failure_that_stays_ends_within_the_deadline(scripted: ScriptedVault) -> None:
    scripted.answer = FAILING
    started = time.monotonic()

    with open_kek(KEY, scripted.url, deadline=3.5, **SHORT) as kek, pytest.raises(UnavailableError):
        kek.unwrap(AES, aad=AAD)

    assert len(scripted.asked) == 2
    assert time.monotonic() - started < 3.5


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_silent_service_is_given_up_within_the_deadline(silent: str, config_file: Path) -> None:
    with open_kek(KEY, silent, deadline=0.6) as kek:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="did not answer in time"):
            kek.unwrap(AES, aad=AAD)

    # The time-outs of one attempt, longer by default, were shortened to fit.
    assert time.monotonic() - started < 1.0


def test_each_call_has_a_deadline_of_its_own(scripted: ScriptedVault) -> None:
    with open_kek(KEY, scripted.url, deadline=3.4, **SHORT) as kek:
        kek.unwrap(AES, aad=AAD)
        for _ in range(2):
            scripted.answers = [FAILING]

            assert kek.unwrap(AES, aad=AAD) == DEK


def test_probing_for_the_credentials_of_an_instance_is_bounded(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", silent)
    started = time.monotonic()

    with (
        open_kek(KEY, silent, credential="instance-principal", credential_timeout=0.5) as kek,
        pytest.raises(UnavailableError, match="instance-principal"),
    ):
        kek.unwrap(AES, aad=AAD)

    assert time.monotonic() - started < 1.5


def test_the_deadline_bounds_the_credentials_too(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", silent)
    started = time.monotonic()

    with (
        open_kek(KEY, silent, credential="instance-principal", deadline=0.5) as kek,
        pytest.raises(UnavailableError),
    ):
        kek.unwrap(AES, aad=AAD)

    assert time.monotonic() - started < 1.5
