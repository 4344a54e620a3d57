"""The first call of a process may go past the vendor's client, which stands behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ksm_storage.plugin import NotDirectError, ServiceClient, first_unwrap


def client(*, deadline: float = 20.0, direct_seconds: float | None = 5.0) -> ServiceClient[str]:
    return ServiceClient(lambda: "made", deadline=deadline, direct_seconds=direct_seconds)


def through(held: ServiceClient[str]) -> Callable[[], str]:
    return lambda: held.run(lambda made: f"client {made}")


def failing() -> str:
    raise NotDirectError("not here")


def test_the_first_call_goes_directly_and_the_next_through_the_client() -> None:
    held = client()

    assert held.run_first(lambda: "direct", through(held)) == "direct"
    assert held.run_first(lambda: "direct", through(held)) == "client made"


def test_a_client_that_is_there_is_used() -> None:
    held = client()
    held.run(len)

    assert held.run_first(lambda: "direct", through(held)) == "client made"


def test_without_seconds_nothing_goes_directly() -> None:
    held = client(direct_seconds=None)

    assert held.run_first(lambda: "direct", through(held)) == "client made"


@pytest.mark.parametrize("error", [NotDirectError("x"), OSError("x"), KeyError("x")], ids=repr)
def test_whatever_fails_directly_goes_through_the_client(error: Exception) -> None:
    def direct() -> str:
        raise error

    held = client()

    assert held.run_first(direct, through(held)) == "client made"


def test_the_error_of_the_client_does_not_name_the_direct_call() -> None:
    held = client()

    def refused() -> str:
        raise ValueError("of the client")

    with pytest.raises(ValueError, match="of the client") as caught:
        held.run_first(failing, refused)

    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_direct_call_that_hangs_leaves_half_of_the_deadline_to_the_client() -> None:
    never = threading.Event()
    held = client(deadline=0.6)
    started = time.monotonic()

    assert held.run_first(lambda: str(never.wait(60)), through(held)) == "client made"

    assert time.monotonic() - started < 0.6
    never.set()


def test_what_it_says_of_the_way_names_the_reason() -> None:
    def broken() -> str:
        raise ValueError("CANARY")

    assert first_unwrap(lambda: "a key", client="the client") == "direct, with a key"
    assert first_unwrap(failing, client="the client") == "through the client: not here"
    assert first_unwrap(broken, client="the client") == "through the client"
