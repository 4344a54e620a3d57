"""The relay under load for a long time: what its memory does.

``python -m tests.relay.soak`` reads for an hour as fast as it can, with 10,000 records, and prints
the memory every minute. With ``--reads-per-second 32`` it keeps to that pace and starts with a full
memory of past requests. ``test_soak.py`` runs a short form.
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
from ksm_storage.serving.requests import MAX_REMEMBERED
from tests.relay.relay import Relay, bind_device
from tests.relay.test_access import connect
from tests.unit.storage.fixtures import new_key

CLIENTS = 3
# In a paced round, of each client; then one client leaves and another one comes.
READS_PER_ROUND = 100
WHOLE_ANSWER_SECONDS = 20
RELOAD_SECONDS = 30
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
    managers = [
        connect(relay, relay.add(f"client {n}", grant)) for n, grant in enumerate(grants(uids))
    ]
    memory: list[float] = []
    reads = 0
    with ThreadPoolExecutor(CLIENTS) as threads:
        while goes_on(len(memory)):
            passing = connect(relay, relay.add(f"passing {len(memory)}", Grant(everything=True)))
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


def soak_at_pace(
    relay: Relay, uids: list[str], *, reads_per_second: float, goes_on: Callable[[int], bool]
) -> tuple[list[float], int]:
    """Read as ``soak`` does, so many times per second; return the memory after each round."""
    managers = [
        connect(relay, relay.add(f"client {n}", grant)) for n, grant in enumerate(grants(uids))
    ]
    memory: list[float] = []
    reads = 0
    due = whole = reload = time.monotonic()
    with ThreadPoolExecutor(len(managers) + 1) as threads:
        while goes_on(len(memory)):
            passing = connect(relay, relay.add(f"passing {len(memory)}", Grant(everything=True)))
            wanted = [uids[len(memory) % len(uids)]]
            everyone = [*managers, passing]
            for _ in range(READS_PER_ROUND):
                due += len(everyone) / reads_per_second
                time.sleep(max(0.0, due - time.monotonic()))
                reading = [threads.submit(one.get_secrets, wanted) for one in everyone]
                reads += len([each.result() for each in reading])
                if time.monotonic() - reload >= RELOAD_SECONDS:
                    reload = time.monotonic()
                    relay.hang_up()
                if time.monotonic() - whole >= WHOLE_ANSWER_SECONDS:
                    whole = time.monotonic()
                    assert len(managers[0].get_secrets()) == len(uids)
                    reads += 1
            relay.revoke(f"passing {len(memory)}")
            memory.append(resident_mb(relay.pid))
    return memory, reads


def grants(uids: list[str]) -> list[Grant]:
    """Return what each of the clients that stay may read: everything, by title, one record."""
    return [Grant(everything=True), Grant(records=("record 1*",)), Grant(records=(uids[0],))]


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


def peak_mb(pid: int) -> float:
    """Return the most memory that a process has ever used."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quarters(memory: list[float]) -> list[str]:
    """Return a line for each quarter: its median, lowest and highest memory."""
    size = len(memory) // 4
    parts = [memory[start : start + size] for start in range(0, 4 * size, size)]
    return [
        f"{statistics.median(part):.1f} MB, {min(part):.1f} to {max(part):.1f}" for part in parts
    ]


def main() -> None:
    """Run for the given time and print the memory; end with 1 if it grew."""
    parser = argparse.ArgumentParser(description="Soak the relay and watch its memory.")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--reads-per-second", type=float, default=0, help="0: as fast as it can")
    given = parser.parse_args()
    seconds: float = given.seconds
    started = time.monotonic()
    shown = -60.0

    def numbers() -> str:
        memory = f"{resident_mb(relay.pid):.1f} MB  peak {peak_mb(relay.pid):.1f} MB"
        return f"{memory}  processor {processor_seconds(relay.pid):.1f} s"

    def goes_on(rounds: int) -> bool:
        nonlocal shown
        passed = time.monotonic() - started
        if passed - shown >= 60:
            shown = passed
            print(f"{passed:6.0f} s  round {rounds}  {numbers()}", flush=True)
        return passed < seconds

    with tempfile.TemporaryDirectory() as name, running_vault(Path(name)) as vault:
        uids = fill(vault, given.records)
        sealed = Path(name) / "client-config.json"
        bind_device(vault, sealed, new_key(Path(name) / "key"))
        remembered = MAX_REMEMBERED if given.reads_per_second else 0
        relay = Relay(sealed, Path(name) / "relay", vault, remembered_requests=remembered)
        relay.start()
        started = time.monotonic()
        if given.reads_per_second:
            memory, reads = soak_at_pace(
                relay, uids, reads_per_second=given.reads_per_second, goes_on=goes_on
            )
        else:
            memory, reads = soak(relay, uids, goes_on=goes_on)
        print(f"   end    round {len(memory)}  {numbers()}  {reads} reads")
        relay.stop()
    ratio = growth(memory)
    for number, line in enumerate(quarters(memory), 1):
        print(f"quarter {number}: {line}")
    print(f"last quarter to the second: {ratio:.3f}")
    sys.exit(ratio > TOLERANCE)


if __name__ == "__main__":
    main()
