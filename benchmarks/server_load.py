"""Print what the local vault and the relay bear: requests per second, waits, and processor time.

Run ``python -m benchmarks.server_load [REQUESTS]``. Each load takes turns, against the relay and
against the vault behind it:

- Prepared requests: signed and encrypted beforehand and sent over TLS from 1 to 32 threads, so
  that the load takes little of the processor that the server needs. Connections stay open, or
  each request has one of its own, as with the official Python client.
- Official clients: 8 processes of the official Python SDK, unchanged.

Other load on the machine disturbs the processor time of a request least.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, login_record, running_vault

from benchmarks.interleaved import child_environment
from benchmarks.tables import Kind, Row, Table, publish, words
from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager
from ksm_storage.wire.base64_forms import from_base64
from ksm_storage.wire.endpoints import API_PATH, CLIENT_VERSION, GET_SECRET
from ksm_storage.wire.keys import private_key_from_text
from ksm_storage.wire.signed_request import make_request, signer

OURS = str(Path(sys.executable).with_name("ksm-storage"))
CLIENTS = (1, 2, 4, 8, 16, 32)
OFFICIAL_CLIENTS = 8
FEW, MANY = 100, 10_000
ROUNDS = 3
SERVERS: tuple[tuple[str, Kind], ...] = (("local vault", "other"), ("relay", "ours"))


@dataclass(frozen=True)
class Server:
    """Hold a running server and the configuration of a client of it."""

    pid: int
    ca_file: str
    config: Mapping[str, str]

    def processor_seconds(self) -> float:
        """Return the processor time of the server's process so far."""
        parts = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """Add up the rounds of one load."""

    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    server: float = 0.0
    clients: float = 0.0

    def processor_row(self, name: str, kind: Kind) -> Row:
        """Return a row of the server's processor time for a request."""
        more = {
            "ms processor, client": f"{self.clients / len(self.seconds) * 1000:.2f}",
            "requests/s": f"{self.requests_per_second:.0f}",
            **self._waits(),
        }
        return Row(name, kind, self.server / len(self.seconds) * 1000, more)

    def throughput_row(self, name: str, kind: Kind, *, clients: int) -> Row:
        """Return a row of the requests per second."""
        return Row(name, kind, self.requests_per_second, self._waits(), clients)

    def wait_row(self, name: str, kind: Kind) -> Row:
        """Return a row of the median wait."""
        more = {"ms processor": f"{self.server / len(self.seconds) * 1000:.2f}", **self._waits()}
        return Row(name, kind, float(more.pop("ms median")), more)

    @property
    def requests_per_second(self) -> float:
        """How many requests were answered in a second."""
        return len(self.seconds) / self.elapsed

    def _waits(self) -> dict[str, str]:
        waits, count = sorted(self.seconds), len(self.seconds)
        return {
            "ms median": f"{waits[count // 2] * 1000:.2f}",
            "ms p99": f"{waits[int(count * 0.99)] * 1000:.1f}",
        }


# The seconds of each request, and of the whole; the processor time of the clients.
Load = Callable[[Server], tuple[list[float], float, float]]


def main() -> None:
    """Measure and print the tables."""
    given = words(sys.argv[1:])
    if given[:1] == ["official"]:
        official_client(Path(given[1]), given[2], int(given[3]))
        return
    publish(tables(int(given[0]) if given else 400), sys.argv[1:])


def tables(requests: int) -> Iterator[Table]:
    """Return the table of each load."""
    note = f"{ROUNDS} interleaved rounds of {requests} requests"
    with serving(FEW) as (servers, uid):
        for title, keeps in (("kept open", True), ("a new connection for each request", False)):
            rows = []
            for clients in CLIENTS:
                load = prepared({"requestedRecords": [uid]}, clients, requests, keeps=keeps)
                measured = taken_in_turn(servers, load)
                rows += [
                    measured[name].throughput_row(name, kind, clients=clients)
                    for name, kind in SERVERS
                ]
            title = f"Reads, {'connections ' if keeps else ''}{title}"
            yield Table("server-load", title, "reads/s", rows, None, note, "clients")
        for title, load in (
            (f"All {FEW} records, 8 connections kept open", prepared({}, 8, requests, keeps=True)),
            (
                f"1 of {FEW} records, {OFFICIAL_CLIENTS} official Python clients",
                lambda server: official(server, uid, requests // OFFICIAL_CLIENTS),
            ),
        ):
            measured = taken_in_turn(servers, load)
            rows = [measured[name].processor_row(name, kind) for name, kind in SERVERS]
            yield Table("server-processor", title, "ms processor, server", rows, None, note)
    with serving(MANY) as (servers, uid):
        measured = taken_in_turn(
            servers, prepared({"requestedRecords": [uid]}, 1, requests, keeps=True)
        )
        rows = [measured[name].wait_row(name, kind) for name, kind in SERVERS]
        yield Table("server-one-record", f"One of {MANY:,} records", "ms", rows, None, note)


@contextmanager
def serving(records: int) -> Iterator[tuple[Mapping[str, Server], str]]:
    """Run a vault with this many records and a relay before it; yield the uid of one as well."""
    with tempfile.TemporaryDirectory() as name, running_vault(Path(name)) as vault:
        with vault.owner() as owner:
            create_application(owner, APP_NAME)
            uids = add_records(
                owner, [login_record(f"r{n}", "x" * 20) for n in range(records)], app=APP_NAME
            )
        with relay(vault, Path(name)) as behind:
            yield {"local vault": bound_client(vault), "relay": behind}, uids[records // 2]


def taken_in_turn(servers: Mapping[str, Server], load: Load) -> Mapping[str, Measured]:
    """Run the load against each server in turn."""
    measured = {name: Measured() for name in servers}
    for _ in range(ROUNDS):
        for name, server in servers.items():
            _measure(server, load, measured[name])
    return measured


def prepared(payload: Mapping[str, object], clients: int, requests: int, *, keeps: bool) -> Load:
    """Return the load of requests that are made before the clock starts."""

    def load(server: Server) -> tuple[list[float], float, float]:
        waiting = iter([_request(server.config, payload) for _ in range(requests)])
        host, _, port = server.config["hostname"].rpartition(":")
        context = ssl.create_default_context(cafile=server.ca_file)
        taken: list[float] = []
        lock = threading.Lock()

        def connect() -> ssl.SSLSocket:
            plain = socket.create_connection((host, int(port)))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return context.wrap_socket(plain, server_hostname=host)

        # Connections that stay open are made before the clock starts.
        ready = threading.Barrier(clients + 1)

        def work() -> None:
            connection = connect()
            ready.wait()
            while True:
                with lock:
                    request = next(waiting, None)
                if request is None:
                    break
                before = time.perf_counter()
                if not keeps:
                    connection.close()
                    connection = connect()
                _ask(connection, request)
                taken.append(time.perf_counter() - before)
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(clients)]
        for thread in threads:
            thread.start()
        ready.wait()
        used, start = time.process_time(), time.perf_counter()
        for thread in threads:
            thread.join()
        return taken, time.perf_counter() - start, time.process_time() - used

    return load


def official(server: Server, uid: str, requests: int) -> tuple[list[float], float, float]:
    """Run official clients, a process each, that begin at the same time."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "config.json"
        config.write_text(json.dumps(dict(server.config)))
        command = [sys.executable, __file__, "official", str(config), uid, str(requests)]
        environment = {**child_environment(), "REQUESTS_CA_BUNDLE": server.ca_file}
        running = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for _ in range(OFFICIAL_CLIENTS)
        ]
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        start = time.perf_counter()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        reports = [json.loads(process.communicate()[0]) for process in running]
        elapsed = time.perf_counter() - start
    taken = [each for report in reports for each in report["taken"]]
    return taken, elapsed, sum(report["processor"] for report in reports)


def official_client(config: Path, uid: str, requests: int) -> None:
    """Read one record again and again with the official SDK, and print how long each took."""
    from keeper_secrets_manager_core import SecretsManager as Official
    from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage as Storage

    manager = Official(config=Storage(config.read_text()))
    manager.get_secrets([uid])
    print("ready", flush=True)
    sys.stdin.readline()
    taken, used = [], time.process_time()
    for _ in range(requests):
        before = time.perf_counter()
        manager.get_secrets([uid])
        taken.append(time.perf_counter() - before)
    print(json.dumps({"taken": taken, "processor": time.process_time() - used}))


@contextmanager
def relay(vault: LocalVault, folder: Path) -> Iterator[Server]:
    """Run the relay over a sealed device of the vault, with a client that may see everything."""
    key, path = str(folder / "key"), str(folder / "client-config.json")
    uri = _ours("keygen", key).strip()
    Path(path).write_text(json.dumps(dict(bound_client(vault).config)))
    _ours("protect", path, "--key", uri)
    state = ["--state", str(folder / "relay")]
    config = _ours("relay", "client", "add", path, "load", "--all", "--format", "json", *state)
    command = [OURS, "relay", "serve", path, "--ca-file", vault.ca_file, "--json", *state]
    with subprocess.Popen([*command, "--cache", "3600"], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        listening = json.loads("".join(iter(run.stdout.readline, "}\n")) + "}")
        yield Server(run.pid, listening["ca_file"], json.loads(config))
        run.terminate()


def bound_client(vault: LocalVault) -> Server:
    """Bind a device of the vault."""
    config = InMemoryKeyValueStorage()
    manager = SecretsManager(
        token=vault.new_client().token,
        hostname=vault.address,
        config=config,
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
        ca_file=vault.ca_file,
    )
    manager.bind()
    manager.get_secrets()
    own = {str(getattr(name, "value", name)): text for name, text in config.read_storage().items()}
    return Server(vault.pid, vault.ca_file, own)


def _measure(server: Server, load: Load, into: Measured) -> None:
    used = server.processor_seconds()
    taken, elapsed, clients = load(server)
    into.elapsed += elapsed
    into.server += server.processor_seconds() - used
    into.clients += clients
    into.seconds += taken


def _request(config: Mapping[str, str], payload: Mapping[str, object]) -> bytes:
    whole = {"clientVersion": CLIENT_VERSION, "clientId": config["clientId"], **payload}
    signed, _ = make_request(
        json.dumps(whole).encode(),
        sign=signer(private_key_from_text(config["privateKey"])),
        server_public_key=from_base64(config["serverPublicKey"]),
        public_key_id=config["serverPublicKeyId"],
    )
    headers = {"Host": config["hostname"], "Content-Length": str(len(signed.body))}
    lines = [f"{name}: {value}\r\n" for name, value in (headers | signed.headers()).items()]
    head = f"POST {API_PATH}{GET_SECRET} HTTP/1.1\r\n{''.join(lines)}\r\n"
    return head.encode() + signed.body


def _ask(connection: ssl.SSLSocket, request: bytes) -> None:
    connection.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1 << 16)
    head, _, body = head.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"the request was refused: {head[:60]!r}")
    length = next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    left = length - len(body)
    while left > 0:
        left -= len(connection.recv(1 << 18))


def _ours(*arguments: str) -> str:
    done = subprocess.run([OURS, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
