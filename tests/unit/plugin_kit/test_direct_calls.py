"""Direct calls: prepared once, left to the client for a moment after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ksm_storage.plugin import DirectCalls, NotDirectError
from ksm_storage.plugin_kit import direct_calls


class Prepared:
    """Count how often the credentials are read."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.count = error, 0

    def __call__(self) -> str:
        self.count += 1
        if self.error is not None:
            raise self.error
        return f"key {self.count}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [time.monotonic()]

    def move(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return move


def calls(prepared: Prepared) -> DirectCalls[str]:
    return DirectCalls(prepared, seconds=5.0, deadline=20.0)


def refused(_: str) -> str:
    raise NotDirectError("refused")


def client() -> str:
    return "client"


def test_each_call_is_sent_with_what_was_prepared_once() -> None:
    prepared = Prepared()
    direct = calls(prepared)

    assert [direct.call(str, client) for _ in range(3)] == ["key 1"] * 3
    assert prepared.count == 1


def test_credentials_are_read_again_before_they_can_expire(clock: Callable[[float], None]) -> None:
    direct = calls(Prepared())
    used = []

    for _ in range(15):
        used.append(direct.call(str, client))
        clock(240)

    assert used == [f"key {number}" for number in range(1, 16)]


def test_threads_that_start_together_read_them_once() -> None:
    prepared = Prepared()
    direct = calls(prepared)
    together = threading.Barrier(8)
    used: list[str] = []

    def call() -> None:
        together.wait(10)
        used.append(direct.call(str, client))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert (used, prepared.count) == (["key 1"] * 8, 1)


def test_after_a_failure_the_client_has_the_calls_for_a_moment(
    clock: Callable[[float], None],
) -> None:
    direct = calls(Prepared())

    assert direct.call(refused, client) == "client"
    assert direct.call(str, client) == "client"
    clock(direct_calls.PAUSE_SECONDS)
    # Read again: the old ones may have been what failed.
    assert direct.call(str, client) == "key 2"


def test_credentials_that_cannot_be_read_are_asked_for_once_in_that_moment(
    clock: Callable[[float], None],
) -> None:
    prepared = Prepared(OSError("no metadata service"))
    direct = calls(prepared)

    assert [direct.call(str, client) for _ in range(8)] == ["client"] * 8
    assert prepared.count == 1
    clock(direct_calls.PAUSE_SECONDS)
    prepared.error = None
    assert direct.call(str, client) == "key 2"


def test_the_error_of_the_client_does_not_name_the_direct_call() -> None:
    def failing() -> str:
        raise ValueError("of the client")

    with pytest.raises(ValueError, match="of the client") as caught:
        calls(Prepared()).call(refused, failing)

    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_credentials_whose_source_hangs_leave_half_of_the_deadline_to_the_client() -> None:
    never = threading.Event()
    direct = DirectCalls(lambda: str(never.wait(60)), seconds=5.0, deadline=0.6)
    started = time.monotonic()

    assert direct.call(str, client) == "client"

    assert time.monotonic() - started < 0.6
    never.set()
