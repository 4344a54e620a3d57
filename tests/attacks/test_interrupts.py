"""Real signals at random moments, whose handler raises."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable

from ksm_storage.storage import snapshot
from tests.attacks.claims import the_attacker

SIGNALS = 3000


class SignalledError(Exception):
    """Raised by the handler, as an application's time-out is."""


def interrupted(work: Callable[[], object]) -> int:
    """Do some work again and again, and interrupt it at random moments; return how often."""

    def interrupt(*_: object) -> None:
        raise SignalledError

    chance = random.Random(1)
    before = signal.signal(signal.SIGALRM, interrupt)
    count = 0
    try:
        while count < SIGNALS:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 4e-4))
                while True:
                    work()
            except SignalledError:
                count += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return count


@the_attacker("interrupts the process with signals whose handlers raise")
def test_an_interrupted_opening_leaves_nobody_waiting() -> None:
    count = interrupted(lambda: snapshot.open_once("bytes", lambda: 1))

    assert count == SIGNALS
    assert all(not each.openings for each in snapshot._running_by_process.values())
