"""Many clients of five key services, whose faults, rotations and outages come at random.

Run ``scripts/soak``; ``--seconds`` shortens the hour, ``--seed`` repeats a sequence of faults. No
configuration may be lost or changed wrongly, each failure must be a documented error, and after
the faults every file must open through each of its keys. Violations are printed as they are seen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ksm_storage
from tests.key_service_faults.soak_chaos import Chaos
from tests.key_service_faults.soak_client import Client, Tally
from tests.key_service_faults.soak_services import Part, running_parts
from tests.key_service_faults.soft_hsm import SoftHsm, is_installed
from tests.unit.storage.fixtures import CONFIG


def make_clients(folder: Path, parts: list[Part], count: int, tally: Tally) -> list[Client]:
    """Make files under two services each, and two clients for each file."""
    clients = []
    for number in range(count):
        path = folder / f"file-{number // 2}"
        pair = (parts[number // 2 % len(parts)], parts[(number // 2 + 1) % len(parts)])
        if not path.exists():
            keys = [part.keys[0] for part in pair]
            ksm_storage.open_storage(path, keys=keys).save_storage(CONFIG)
        clients.append(Client(f"client{number}", path, [part.keys for part in pair], tally))
    return clients


def soak(
    folder: Path, *, seconds: float, clients: int, seed: int, hsm: SoftHsm | None
) -> tuple[Tally, int]:
    """Run it, and return what came of it and how many times harm was done or undone."""
    tally, stop = Tally(), threading.Event()
    with running_parts(folder, hsm) as parts:
        chaos = Chaos(parts, seed)
        made = make_clients(folder, parts, clients, tally)
        tasks = [chaos.run, *(client.run for client in made)]
        with ThreadPoolExecutor(len(tasks)) as pool:
            running = [pool.submit(task, stop) for task in tasks]
            stop.wait(seconds)
            stop.set()
        for ended in running:
            ended.result()
        for client in made:
            client.open_through_each_key()
    return tally, chaos.done


def main() -> int:
    """Run the soak that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    if not is_installed():
        print("left out: pkcs11, since SoftHSM 2 is not installed", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="ksm-soak-") as name:
        folder = Path(name)
        hsm = SoftHsm(folder) if is_installed() else None
        tally, harm = soak(
            folder, seconds=given.seconds, clients=given.clients, seed=given.seed, hsm=hsm
        )
    print(f"seed {given.seed}, {given.seconds:g} s, {given.clients} clients, {harm} disturbances")
    for (operation, outcome), count in sorted(tally.outcomes.items()):
        print(f"{operation:16} {outcome:24} {count:8}")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
