"""Print how long the local vault takes to end after SIGTERM.

Run ``python -m benchmarks.server_stop [TRIES]``, 50 if not given. Each try starts the server anew.
It gets the signal with idle connections open, or right after its announcement, when it is still
about to accept its first connection. The longest time is what counts, and each end must be in
order.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.interleaved import child_environment
from benchmarks.tables import Row, Table, publish, words

IDLE_CONNECTIONS = 8
_END_SECONDS = 30

Listening = Mapping[str, str]


def tables(tries: int) -> Iterator[Table]:
    """Return the table of both moments."""
    moments: dict[str, Callable[[Listening], contextlib.ExitStack]] = {
        "right after the announcement": lambda _: contextlib.ExitStack(),
        "idle connections open": idle_connections,
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, prepare in moments.items():
            taken = [seconds_to_end(Path(folder), prepare) for _ in range(tries)]
            more = {"s median": f"{statistics.median(taken):.2f}", "tries": f"{tries}"}
            rows.append(Row(name, "ours", max(taken), more))
    yield Table("server-stop", "SIGTERM to the end, longest", "s", rows)


def seconds_to_end(folder: Path, prepare: Callable[[Listening], contextlib.ExitStack]) -> float:
    """Start a vault, prepare, and return the seconds from SIGTERM to its end."""
    command = [sys.executable, "-m", "ksm_storage_local_vault", str(folder / "vault")]
    environment = child_environment()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as server:
        assert server.stdout is not None
        listening = json.loads(server.stdout.readline())
        with prepare(listening):
            before = time.perf_counter()
            server.send_signal(signal.SIGTERM)
            try:
                status = server.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                # The signal was lost.
                server.kill()
                raise
            seconds = time.perf_counter() - before
        if status != 0:
            raise RuntimeError(f"the vault ended with status {status}")
    return seconds


def idle_connections(listening: Listening) -> contextlib.ExitStack:
    """Connect, without asking anything."""
    context = ssl.create_default_context(cafile=listening["ca_file"])
    host, _, port = listening["address"].rpartition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            plain = stack.enter_context(socket.create_connection((host, int(port))))
            stack.enter_context(context.wrap_socket(plain, server_hostname=host))
        return stack.pop_all()


if __name__ == "__main__":
    given = words(sys.argv[1:])
    publish(tables(int(given[0]) if given else 50), sys.argv[1:])
