"""A library that hangs: the call ends in time, and nothing enters the library meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ksm_storage.errors import AuthenticationError, UnavailableError

from .interposer import Interposer
from .opening import AAD, DEK, ONE, open_kek
from .soft_token import PIN

pytestmark = pytest.mark.usefixtures("soft_token")

FUNCTIONS = ["C_Initialize", "C_GetSlotList", "C_OpenSession", "C_Login", "C_EncryptInit"]


@pytest.fixture
def returns() -> Iterator[threading.Event]:
    """Return the event that lets a hanging call return."""
    event = threading.Event()
    yield event
    event.set()


def _hanging(returns: threading.Event) -> Callable[..., int]:
    def hangs(real: Callable[..., int], *arguments: object) -> int:
        returns.wait(30)
        return int(real(*arguments))

    return hangs


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_library_that_hangs_is_unavailable_and_usable_once_it_returns(
    interposer: Interposer, returns: threading.Event, function: str
) -> None:
    with open_kek(ONE, deadline=0.5) as kek:
        with interposer.answering(**{function: _hanging(returns)}):
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="did not answer in time"):
                kek.wrap(DEK, aad=AAD)
            assert time.monotonic() - started < 5
            returns.set()

        assert _eventually_wraps()


def test_nothing_else_enters_a_library_that_hangs(
    interposer: Interposer, returns: threading.Event
) -> None:
    with open_kek(ONE, deadline=0.5) as kek, open_kek("token=ksm;object=two", deadline=0.5) as two:
        two.wrap(DEK, aad=AAD)
        with interposer.answering(C_EncryptInit=_hanging(returns)):
            with pytest.raises(UnavailableError):
                kek.wrap(DEK, aad=AAD)
            before = dict(interposer.calls)
            with pytest.raises(UnavailableError):
                two.wrap(DEK, aad=AAD)
            assert dict(interposer.calls) == before
            returns.set()

        assert _eventually_wraps()


def test_closing_does_not_wait_for_a_library_that_hangs(
    interposer: Interposer, returns: threading.Event
) -> None:
    kek = open_kek(ONE, deadline=0.5)
    with interposer.answering(C_EncryptInit=_hanging(returns)):
        with pytest.raises(UnavailableError):
            kek.wrap(DEK, aad=AAD)
        started = time.monotonic()

        kek.close()

        assert time.monotonic() - started < 10
        returns.set()

    # What could not be closed then is closed before the next login.
    assert _eventually_wraps()
    with open_kek(ONE, pin="another PIN") as other, pytest.raises(AuthenticationError):
        other.wrap(DEK, aad=AAD)


def test_the_time_in_which_a_person_gives_the_pin_does_not_count() -> None:
    def slow() -> str:
        time.sleep(1)
        return PIN

    with open_kek(ONE, pin=slow, deadline=0.9) as kek:
        kek.wrap(DEK, aad=AAD)


def _eventually_wraps() -> bool:
    with open_kek(ONE) as kek:
        return kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK
