"""Print how the local vault performs under a bounded load on loopback.

Several clients, each a process of its own as a real device would be, ask one server at the same
time. Every request is complete: a fresh transmission key, a signature, and the answer decrypted.
``--clients`` and ``--requests`` change the load.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, running_vault
from rich.console import Console
from rich.table import Table

from ksm_storage.wire.aes import gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import from_base64, new_uid, to_base64
from ksm_storage.wire.ecies import public_point_of
from ksm_storage.wire.endpoints import API_PATH, CLIENT_VERSION
from ksm_storage.wire.identity import client_id_from_token, new_private_key
from ksm_storage.wire.signed_request import make_request, signer

RECORDS = 100


@dataclass(frozen=True)
class Target:
    """The parameters of a client process."""

    address: str
    ca_file: str
    server_public_key: str
    server_public_key_id: str
    token: str
    folder_uid: str
    record_uid: str


class Client:
    """A bound device on one persistent connection."""

    def __init__(self, target: Target) -> None:
        host, _, port = target.address.rpartition(":")
        context = ssl.create_default_context(cafile=target.ca_file)
        self._target = target
        self._connection = http.client.HTTPSConnection(host, int(port), context=context)
        self._private_key = new_private_key()
        self._client_id = client_id_from_token(from_base64(target.token))
        self.ask("get_secret", publicKey=to_base64(public_point_of(self._private_key)))

    def ask(self, path: str, **payload: object) -> None:
        """Send one request and decrypt its answer; raise for an error."""
        whole = {"clientVersion": CLIENT_VERSION, "clientId": self._client_id, **payload}
        signed, key = make_request(
            json.dumps(whole).encode(),
            sign=signer(self._private_key),
            server_public_key=from_base64(self._target.server_public_key),
            public_key_id=self._target.server_public_key_id,
        )
        self._connection.request("POST", API_PATH + path, signed.body, signed.headers())
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} was refused with {response.status}")
        if body:
            gcm_open(key, body)

    def read_all(self) -> None:
        """Read every record."""
        self.ask("get_secret")

    def read_one(self) -> None:
        """Read one record of many."""
        self.ask("get_secret", requestedRecords=[self._target.record_uid])

    def create(self) -> None:
        """Create a record: one durable commit."""
        key = os.urandom(32)
        self.ask(
            "create_secret",
            recordUid=new_uid(),
            recordKey=to_base64(gcm_seal(key, key)),
            folderUid=self._target.folder_uid,
            folderKey=to_base64(gcm_seal(key, key)),
            data=to_base64(gcm_seal(key, b'{"title": "made under load"}')),
        )


MIXES: dict[str, Callable[[Client], None]] = {
    f"get_secret, 1 of {RECORDS} records": Client.read_one,
    f"get_secret, all {RECORDS} records": Client.read_all,
    "create_secret, durable": Client.create,
}


def load(target: Target, mix: str, requests: int) -> list[float]:
    """Return the seconds of each request; runs in a separate process."""
    client = Client(target)
    taken = []
    for _ in range(requests):
        before = time.perf_counter()
        MIXES[mix](client)
        taken.append(time.perf_counter() - before)
    return taken


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=100)
    given = parser.parse_args()
    title = f"{given.clients} clients x {given.requests} requests, {os.cpu_count()} cores"
    table = Table("load", "requests/s", "median ms", "p95 ms", "worst ms", title=title)
    with tempfile.TemporaryDirectory() as name:
        for mix in MIXES:
            # A vault of its own for each, so that what one wrote does not burden the next.
            folder = Path(tempfile.mkdtemp(dir=name))
            with running_vault(folder) as vault:
                table.add_row(mix, *_measure(vault, mix, given.clients, given.requests))
    Console().print(table)


def _measure(vault: LocalVault, mix: str, clients: int, requests: int) -> list[str]:
    folder_uid, record_uid = _fill(vault)
    targets = [_target(vault, folder_uid, record_uid) for _ in range(clients)]
    with ProcessPoolExecutor(clients, mp_context=get_context("spawn")) as pool:
        # The first round starts the processes and is not counted.
        list(pool.map(_warm_up, range(clients)))
        before = time.perf_counter()
        results = list(pool.map(load, targets, [mix] * clients, [requests] * clients))
        elapsed = time.perf_counter() - before
    taken = sorted(seconds * 1000 for result in results for seconds in result)
    return [
        f"{len(taken) / elapsed:.0f}",
        f"{statistics.median(taken):.1f}",
        f"{taken[int(len(taken) * 0.95)]:.1f}",
        f"{taken[-1]:.1f}",
    ]


def _warm_up(_number: int) -> None:
    # Long enough that no worker takes two of these: each process of the pool has then started.
    time.sleep(0.2)


def _fill(vault: LocalVault) -> tuple[str, str]:
    record = {"title": "a record", "fields": [{"type": "password", "value": ["x" * 20]}]}
    with vault.owner() as owner:
        create_application(owner, APP_NAME)
        folder = add_folder(owner, "Shared", app=APP_NAME)
        uids = add_records(owner, [record] * RECORDS, app=APP_NAME, folder=folder.folder_uid)
    return folder.folder_uid, uids[0]


def _target(vault: LocalVault, folder_uid: str, record_uid: str) -> Target:
    return Target(
        address=vault.address,
        ca_file=vault.ca_file,
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
        token=vault.new_client().token,
        folder_uid=folder_uid,
        record_uid=record_uid,
    )


if __name__ == "__main__":
    main()
