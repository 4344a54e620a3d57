"""The harm that the soak does at random, and how it is undone."""

from __future__ import annotations

import random
import threading

from tests.key_service_faults.soak_keys import Rotates
from tests.key_service_faults.soak_services import Part


class Chaos:
    """Do harm to the services at random, and undo it."""

    def __init__(self, parts: list[Part], seed: int) -> None:
        self._parts = parts
        self._rotating = [p.administrator for p in parts if isinstance(p.administrator, Rotates)]
        self._random = random.Random(seed)
        self.done = 0

    def run(self, stop: threading.Event) -> None:
        """Do one thing after another until told to stop, then undo all."""
        while not stop.wait(self._random.uniform(0.01, 0.2)):
            self._random.choices(
                (self._strike, self._heal, self._rotate, self._disable, self._enable),
                weights=[10, 4, 1, 2, 3],
            )[0]()
            self.done += 1
        for part in self._parts:
            part.service.heal()
            part.administrator.switch(on=True)

    def _strike(self) -> None:
        part = self._random.choice(self._parts)
        times = self._random.choice([1, 1, 2, 5, None])
        part.service.strike(self._random.choice(part.faults), None, times=times)

    def _heal(self) -> None:
        self._random.choice(self._parts).service.heal()

    def _rotate(self) -> None:
        self._random.choice(self._rotating).rotate()

    def _disable(self) -> None:
        self._random.choice(self._parts).administrator.switch(on=False)

    def _enable(self) -> None:
        self._random.choice(self._parts).administrator.switch(on=True)
