"""Many clients of four key services, whose faults, rotations and outages come at random.

Run ``scripts/soak``; ``--seconds`` shortens the hour, ``--seed`` repeats a sequence of faults. No
configuration may be lost or changed wrongly, each failure must be a documented error, and after
the faults every file must open through each of its keys.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

import ksm_storage
from tests.call_counts.services import SERVICES
from tests.key_service_faults.service import DEADLINES, FAULTS, EmulatedService
from tests.key_service_faults.soak_client import Client, Tally
from tests.key_service_faults.soak_keys import ADMINISTRATORS, Administrator
from tests.unit.storage.fixtures import CONFIG

# Each of these hangs for good and would keep a thread of an emulator.
LEFT_OUT = {FaultKind.HANG}


class Chaos:
    """Do harm to the services at random, and undo it."""

    def __init__(self, services: list[EmulatedService], seed: int) -> None:
        self._services = services
        self._random = random.Random(seed)
        self.done = 0
        self.keys: list[Administrator] = [
            ADMINISTRATORS[each.provider](each.emulator.service, each.keys[0]) for each in services
        ]

    def run(self, stop: threading.Event) -> None:
        """Do one thing after another until told to stop, then undo all."""
        while not stop.wait(self._random.uniform(0.01, 0.2)):
            self._random.choices(
                (self._strike, self._heal, self._rotate, self._disable, self._enable),
                weights=[10, 4, 1, 2, 3],
            )[0]()
            self.done += 1
        for service, key in zip(self._services, self.keys, strict=True):
            service.heal()
            key.switch(on=True)

    def _strike(self) -> None:
        fault = self._random.choice([f for f, how in FAULTS.items() if how.kind not in LEFT_OUT])
        times = self._random.choice([1, 1, 2, 5, None])
        self._random.choice(self._services).strike(fault, None, times=times)

    def _heal(self) -> None:
        self._random.choice(self._services).heal()

    def _rotate(self) -> None:
        self._random.choice(self.keys).rotate()

    def _disable(self) -> None:
        self._random.choice(self.keys).switch(on=False)

    def _enable(self) -> None:
        self._random.choice(self.keys).switch(on=True)


@contextlib.contextmanager
def running_services(folder: Path) -> Iterator[list[EmulatedService]]:
    """Run the emulators, and lead the plugins of this process there."""
    before = dict(os.environ)
    with contextlib.ExitStack() as stack:
        found = []
        for name, service in SERVICES.items():
            place = folder / name
            place.mkdir()
            emulator, keys, variables = service.begin(EmulatorStarter(stack), place)
            if name == "azure-kv":
                # Without the version, so that a rewrap moves on to the newest.
                keys = (keys[0].rpartition("/")[0], keys[1].rpartition("/")[0])
            os.environ.update({**emulator.environment(), **variables, DEADLINES[name]: "3"})
            found.append(EmulatedService(name, emulator, keys, variables))
        try:
            yield found
        finally:
            os.environ.clear()
            os.environ.update(before)


def make_clients(
    folder: Path, services: list[EmulatedService], count: int, tally: Tally
) -> list[Client]:
    """Make files under two services each, and two clients for each file."""
    clients = []
    for number in range(count):
        path = folder / f"file-{number // 2}"
        pair = (services[number // 2 % 4], services[(number // 2 + 1) % 4])
        keys = tuple(service.keys[0] for service in pair)
        if not path.exists():
            ksm_storage.open_storage(path, keys=keys).save_storage(CONFIG)
        clients.append(Client(f"client{number}", path, keys, tally))
    return clients


def check_the_end(clients: list[Client], tally: Tally) -> None:
    """Open every file through each of its keys alone."""
    for client in clients:
        for key in client._keys:
            storage = ksm_storage.open_storage(client.path, keys=[key])
            client.check(storage.read_storage())
            tally.count("open at the end", "ok")


def soak(folder: Path, *, seconds: float, clients: int, seed: int) -> tuple[Tally, int]:
    """Run it, and return what came of it and how many times harm was done or undone."""
    tally, stop = Tally(), threading.Event()
    with running_services(folder) as services:
        chaos = Chaos(services, seed)
        made = make_clients(folder, services, clients, tally)
        tasks = [chaos.run, *(client.run for client in made)]
        workers = [threading.Thread(target=task, args=(stop,)) for task in tasks]
        for worker in workers:
            worker.start()
        stop.wait(seconds)
        stop.set()
        for worker in workers:
            worker.join()
        check_the_end(made, tally)
    return tally, chaos.done


def main() -> int:
    """Run the soak that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ksm-soak-") as folder:
        tally, harm = soak(
            Path(folder), seconds=given.seconds, clients=given.clients, seed=given.seed
        )
    print(f"seed {given.seed}, {given.seconds:g} s, {given.clients} clients, {harm} disturbances")
    for (operation, outcome), count in sorted(tally.outcomes.items()):
        print(f"{operation:16} {outcome:24} {count:8}")
    for what in tally.violations:
        print(f"violation: {what}", file=sys.stderr)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
