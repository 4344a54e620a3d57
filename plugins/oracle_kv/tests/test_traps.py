"""What Oracle's client shares between all clients of a process, and ours does not."""

from __future__ import annotations

from pathlib import Path

import circuitbreaker
import oci
import pytest
from oci.key_management import KmsCryptoClient
from oci.key_management.models import DecryptDataDetails

from ksm_storage.errors import KeyStateError, UnavailableError

from .opening import AAD, open_kek
from .scripted_vault import DEK, KEY, ScriptedVault, refusal, scripted_vault, unwrapped
from .test_wire import AES

FAILING = refusal("InternalServerError", status=500)
DETAILS = DecryptDataDetails(key_id=KEY, ciphertext="YWJj")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(FAILING, UnavailableError), (refusal("IncorrectState", status=409), KeyStateError)],
    ids=["500", "409"],
)
def test_ten_failures_of_one_key_shut_no_other_out(
    scripted: ScriptedVault, answer: object, kind: type[Exception]
) -> None:
    with scripted_vault() as other:
        scripted.answer = answer  # type: ignore[assignment]  # an Answer each
        with open_kek(KEY, scripted.url, deadline=1.0) as kek:
            for _ in range(12):
                with pytest.raises(kind):
                    kek.unwrap(AES, aad=AAD)

            other.answer = unwrapped()
            with open_kek(KEY, other.url) as healthy:
                assert healthy.unwrap(AES, aad=AAD) == DEK

            # Nor itself: the next call that could succeed does.
            scripted.answer = unwrapped()
            assert kek.unwrap(AES, aad=AAD) == DEK


@pytest.fixture
def failed_elsewhere(scripted: ScriptedVault) -> None:
    """Let a client of the application's own, made with the defaults, fail ten times."""
    scripted.answer = FAILING
    client = KmsCryptoClient(oci.config.from_file(), scripted.url)
    for _ in range(10):
        with pytest.raises(oci.exceptions.ServiceError):
            client.decrypt(DETAILS)


@pytest.fixture(autouse=True)
def _closed_again(config_file: Path) -> object:
    yield
    for breaker in circuitbreaker.CircuitBreakerMonitor.get_circuits():
        breaker.reset()


def test_ten_failures_of_the_applications_own_client_do_not_shut_the_plugin_out(
    failed_elsewhere: None, scripted: ScriptedVault
) -> None:
    with scripted_vault() as other, open_kek(KEY, other.url) as kek:
        assert kek.unwrap(AES, aad=AAD) == DEK


def test_the_defaults_of_the_client_would_be_shut_out(failed_elsewhere: None) -> None:
    with scripted_vault() as other:
        client = KmsCryptoClient(oci.config.from_file(), other.url)

        with pytest.raises(circuitbreaker.CircuitBreakerError):
            client.decrypt(DETAILS)
