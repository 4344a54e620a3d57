"""The relay under load for a long time: what its memory does.

``python -m tests.relay.soak --seconds 3600 --records 10000`` runs the long form and prints the
memory every minute; ``test_soak.py`` runs a short one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, login_record, running_vault

from ksm_storage.relay.grant import Grant
from tests.relay.relay import Relay, bind_device
from tests.relay.test_access import connect
from tests.unit.storage.fixtures import new_key

CLIENTS = 3
# A growth of less is the allocator's, not a leak's.
TOLERANCE = 1.05


def fill(vault: LocalVault, records: int) -> list[str]:
    """Create an application with so many records, and return their uids."""
    with vault.owner() as owner:
        create_application(owner, APP_NAME)
        made = [login_record(f"record {number}", "x" * 20) for number in range(records)]
        return add_records(owner, made, app=APP_NAME)


def soak(
    relay: Relay, uids: list[str], *, goes_on: Callable[[int], bool]
) -> tuple[list[float], int]:
    """Read through the relay and return its memory in MB after each round, and the reads.

    In each round every client reads one record, and one of them all; a client is added and
    revoked, and the relay reloads, so that nothing stays that belonged to an earlier round.
    """
    grants = [Grant(everything=True), Grant(records=("record 1*",)), Grant(records=(uids[0],))]
    managers = [connect(relay, relay.add(f"client {n}", grants[n])) for n in range(CLIENTS)]
    memory: list[float] = []
    reads = 0
    with ThreadPoolExecutor(CLIENTS) as threads:
        while goes_on(len(memory)):
            passing = connect(relay, relay.add(f"passing {len(memory)}", grants[0]))
            wanted = [uids[len(memory) % len(uids)]]
            reading = [threads.submit(one.get_secrets, wanted) for one in (*managers, passing)]
            found = [len(each.result()) for each in reading]
            assert (found[0], found[-1]) == (1, 1)
            assert len(managers[len(memory) % CLIENTS].get_secrets()) > 0
            relay.revoke(f"passing {len(memory)}")
            relay.hang_up()
            reads += len(found) + 1
            memory.append(resident_mb(relay.pid))
    return memory, reads


def growth(memory: list[float]) -> float:
    """Return the ratio of the medians of the last quarter and of the second one.

    The first quarter fills caches and the allocator's pools.
    """
    quarter = len(memory) // 4
    return statistics.median(memory[-quarter:]) / statistics.median(memory[quarter : 2 * quarter])


def resident_mb(pid: int) -> float:
    """Return the memory of a process that is in use now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def main() -> None:
    """Run for the given time and print the memory; end with 1 if it grew."""
    parser = argparse.ArgumentParser(description="Soak the relay and watch its memory.")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--records", type=int, default=10_000)
    given = parser.parse_args()
    seconds: float = given.seconds
    started = time.monotonic()
    shown = 0.0

    def goes_on(rounds: int) -> bool:
        nonlocal shown
        passed = time.monotonic() - started
        if passed - shown >= 60:
            shown = passed
            print(f"{passed:6.0f} s  round {rounds}  {resident_mb(relay.pid):.1f} MB", flush=True)
        return passed < seconds

    with tempfile.TemporaryDirectory() as name, running_vault(Path(name)) as vault:
        uids = fill(vault, given.records)
        sealed = Path(name) / "client-config.json"
        bind_device(vault, sealed, new_key(Path(name) / "key"))
        relay = Relay(sealed, Path(name) / "relay", vault)
        relay.start()
        started = time.monotonic()
        memory, reads = soak(relay, uids, goes_on=goes_on)
        relay.stop()
    ratio = growth(memory)
    print(
        f"{len(memory)} rounds, {reads} reads, {memory[0]:.1f} to {memory[-1]:.1f} MB, {ratio:.3f}"
    )
    sys.exit(ratio > TOLERANCE)


if __name__ == "__main__":
    main()
