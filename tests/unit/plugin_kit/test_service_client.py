"""The one client of a key wrapper: when it is made, for whom, and when it is closed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ksm_storage.plugin import DeadlinePassedError, ServiceClient


class Sdk:
    """Hand out clients and remember them."""

    def __init__(self) -> None:
        self.made: list[object] = []
        self.closed: list[object] = []

    def create(self) -> object:
        time.sleep(0.05)
        self.made.append(object())
        return self.made[-1]

    def held(self, deadline: float = 30) -> ServiceClient[object]:
        return ServiceClient(self.create, close=self.closed.append, deadline=deadline)


def test_nothing_is_made_before_the_first_call() -> None:
    sdk = Sdk()

    sdk.held().close()

    assert (sdk.made, sdk.closed) == ([], [])


def test_threads_that_start_together_share_one_client() -> None:
    sdk = Sdk()
    held, together = sdk.held(), threading.Barrier(8, timeout=30)

    def call(_: int) -> object:
        together.wait()
        return held.run(lambda client: client)

    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(call, range(8)))

    assert used == sdk.made * 8
    assert len(sdk.made) == 1


def test_after_a_close_another_is_made() -> None:
    sdk = Sdk()
    held = sdk.held()

    first = held.run(lambda client: client)
    held.close()
    held.close()
    second = held.run(lambda client: client)

    assert sdk.made == [first, second]
    assert sdk.closed == [first]


def test_a_client_that_cannot_be_made_is_tried_again_by_the_next_call() -> None:
    outcomes = iter([OSError("no network"), "a client"])

    def create() -> object:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    held: ServiceClient[object] = ServiceClient(create, close=lambda _: None, deadline=30)

    with pytest.raises(OSError, match="no network"):
        held.run(lambda client: client)
    assert held.run(lambda client: client) == "a client"


def test_credentials_that_hang_end_with_the_deadline_for_each_that_waits() -> None:
    never = threading.Event()
    held: ServiceClient[bool] = ServiceClient(
        lambda: never.wait(60), close=lambda _: None, deadline=0.2
    )
    started = time.monotonic()

    for _ in range(2):
        with pytest.raises(DeadlinePassedError):
            held.run(lambda client: client)
    held.close()

    assert time.monotonic() - started < 5
    never.set()


def test_the_sdk_is_imported_before_the_deadline_begins() -> None:
    held: ServiceClient[str] = ServiceClient(
        lambda: "a client",
        close=lambda _: None,
        deadline=0.2,
        load=lambda: time.sleep(0.3),
    )

    assert held.run(lambda client: client) == "a client"


FORKING = """
import os, threading
from ksm_storage.plugin import ServiceClient
made, closed = [], []
def create():
    made.append(os.getpid())
    return made[-1]
held = ServiceClient(create, close=closed.append, deadline=10)
assert held.run(lambda client: client) == os.getpid()
lock = held._locks[os.getpid()]
lock.acquire()  # as a thread that makes a client when another forks
child = os.fork()
if child == 0:
    assert held.run(lambda client: client) == os.getpid()
    held.close()
    os._exit(0 if closed == [os.getpid()] else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_makes_its_own_and_never_closes_its_parents() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=30)
