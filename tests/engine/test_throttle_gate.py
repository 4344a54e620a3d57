"""While one thread waits for the server's counter, the others of the process stand still."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ksm_storage.engine import BackoffPolicy, InMemoryKeyValueStorage, ServerThrottledError
from ksm_storage.engine.backoff import ThrottleGate
from ksm_storage.engine.transport import HttpsTransport, run
from ksm_storage.wire import api_errors
from ksm_storage.wire.api_errors import throttle


def test_other_threads_send_nothing_until_the_wait_is_over(server: Any, connect: Any) -> None:
    sleeping, wake = threading.Event(), threading.Event()

    def sleep(_seconds: float) -> None:
        sleeping.set()
        assert wake.wait(10)

    config = InMemoryKeyValueStorage()
    first = connect(config, backoff=BackoffPolicy(sleep=sleep))
    # Another manager of the same client device in the same process.
    second = connect(config, backoff=BackoffPolicy(sleep=sleep))
    first.bind()
    server.reply(403, throttle())
    waiting = threading.Thread(target=first.get_secrets)
    waiting.start()
    assert sleeping.wait(10)
    sent = len(server.asked)

    others = [threading.Thread(target=second.get_secrets) for _ in range(5)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(0.05)
    sent_meanwhile = len(server.asked)
    wake.set()
    for thread in (waiting, *others):
        thread.join(10)

    assert sent_meanwhile == sent
    assert len(server.asked) == sent + 6


async def held(gate: ThrottleGate, seen: int, error: type[BaseException] | None = None) -> bool:
    """Hold the gate closed, as a throttled call does, and return whether that call has to wait."""
    async with gate.closed(seen, HttpsTransport().acquire) as must_wait:
        if error is not None:
            raise error
    return must_wait


def test_who_was_throttled_at_the_same_time_does_not_wait_again() -> None:
    gate = ThrottleGate()
    seen = run(gate.wait_until_open(HttpsTransport().acquire))

    first, second = run(held(gate, seen)), run(held(gate, seen))

    assert (first, second) == (True, False)


def test_a_wait_that_failed_leaves_the_next_one_to_wait() -> None:
    gate = ThrottleGate()
    seen = run(gate.wait_until_open(HttpsTransport().acquire))

    with pytest.raises(KeyboardInterrupt):
        run(held(gate, seen, KeyboardInterrupt))

    assert run(held(gate, seen))


def test_a_gate_that_stays_closed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksm_storage.engine.transport._MAX_GATE_SECONDS", 0.01)
    gate = ThrottleGate()

    async def hold_and_call_again() -> None:
        async with gate.closed(0, HttpsTransport().acquire):
            await gate.wait_until_open(HttpsTransport().acquire)

    with pytest.raises(ServerThrottledError, match="for too long"):
        run(hold_and_call_again())


def test_endpoints_and_client_devices_have_gates_of_their_own() -> None:
    gate = ThrottleGate.of("h", "c", "get_secret")

    assert ThrottleGate.of("h", "c", "get_secret") is gate
    assert ThrottleGate.of("h", "c", "get_folders") is not gate
    assert ThrottleGate.of("h", "d", "get_secret") is not gate


@pytest.mark.parametrize("status", [403, 429])
def test_both_statuses_are_waited_out(
    server: Any, bound: Any, waits: list[float], status: int
) -> None:
    server.reply(status, throttle(4), {"Retry-After": "6"})

    bound.get_secrets()

    assert waits == [6]


def test_no_first_wait_is_shorter_than_the_counter_needs() -> None:
    draws = iter((-1.0, -0.25, 0.0, 0.25))
    policy = BackoffPolicy(uniform=lambda low, high: next(draws))

    waits = [policy.wait_seconds(0, asked=0) or 0 for _ in range(4)]

    assert waits == [11, 11, 11, 13.75]


def test_the_waits_of_one_call_have_a_limit(server: Any, connect: Any, waits: list[float]) -> None:
    backoff = BackoffPolicy(max_wait_seconds=50, sleep=waits.append, uniform=lambda low, high: 0.0)
    manager = connect(backoff=backoff)
    manager.bind()
    server.refuse(api_errors.TOO_MANY_REQUESTS, times=6)

    from ksm_storage.engine import ServerThrottledError

    with pytest.raises(ServerThrottledError):
        manager.get_secrets()

    assert waits == [11, 22, 44]
