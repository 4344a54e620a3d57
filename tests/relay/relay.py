"""A relay in a process of its own, over a sealed device of a local vault."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ksm_storage_local_vault.testing import LocalVault

from ksm_storage import open_storage
from ksm_storage.engine import SecretsManager
from ksm_storage.relay.grant import Client, Grant, new_bound_client, new_waiting_client
from ksm_storage.relay.server import open_state
from ksm_storage.relay.state import RelayState

STOP_SECONDS = 20

RUN = """
import json, os, sys
from pathlib import Path
from ksm_storage import open_storage
from ksm_storage.relay import exchange
from ksm_storage.relay.server import RelaySettings, run_relay
from ksm_storage.serving import listening
path, options = sys.argv[1], json.loads(sys.argv[2])
remembered = options.pop("remembered_requests", 0)
class FilledWindow(exchange.ReplayWindow):
    def __init__(self):
        super().__init__()
        for _ in range(remembered):
            self.reject_repeated(os.urandom(32))
exchange.ReplayWindow = FilledWindow
for name in ("_STOP_SECONDS", "_REQUEST_SECONDS", "_IDLE_SECONDS"):
    if name in options:
        setattr(listening, name, options.pop(name))
for name in ("folder", "offline_copy", "unix_socket"):
    if options.get(name):
        options[name] = Path(options[name])
run_relay(open_storage(path), RelaySettings(**options), lambda _: print("ready", flush=True))
"""


class Relay:
    """Start, kill and restart one relay, and give it clients."""

    def __init__(self, sealed: Path, folder: Path, vault: LocalVault, **options: Any) -> None:
        self.sealed = sealed
        self.folder = folder
        self.options = {"folder": str(folder), "ca_file": vault.ca_file, **options}
        self.log_file = folder.with_suffix(".log")
        self._process: subprocess.Popen[str] | None = None

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        with self.state() as state:
            return state.identity().address

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(self.sealed), json.dumps(self.options)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self.log_file.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:
            process.send_signal(number)
            return process.wait(STOP_SECONDS)

    def kill(self) -> None:
        self.stop(getattr(signal, "SIGKILL", signal.SIGTERM))

    def hang_up(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    @contextmanager
    def state(self) -> Iterator[RelayState]:
        state = open_state(open_storage(self.sealed), self.folder)
        try:
            yield state
        finally:
            state.close()

    def add(
        self,
        name: str,
        grant: Grant,
        *,
        expires_in: float | None = None,
        address_locked: bool = False,
    ) -> dict[str, str]:
        """Add a client and return its configuration."""
        expires_at = None if expires_in is None else now() + round(expires_in * 1000)
        client, own = new_bound_client(
            name, grant, now=now(), expires_at=expires_at, address_locked=address_locked
        )
        return self._configuration(client, own)

    def add_waiting(self, name: str, grant: Grant) -> tuple[str, dict[str, str]]:
        """Add a client that has to bind; return its token and the rest of its configuration."""
        client, token = new_waiting_client(
            name,
            grant,
            now=now(),
            expires_at=None,
            token_expires_at=now() + 60_000,
            address_locked=False,
        )
        return token, self._configuration(client, {})

    @staticmethod
    def encoded(configuration: Mapping[str, str]) -> str:
        """Return a configuration as ``relay client add`` prints it by default."""
        return base64.b64encode(json.dumps(configuration).encode()).decode()

    def revoke(self, name: str) -> None:
        with self.state() as state:
            state.revoke(name, now=now())

    def metrics(self) -> Mapping[str, float]:
        import http.client
        import ssl

        host, _, port = self.address.rpartition(":")
        context = ssl.create_default_context(cafile=self.ca_file)
        connection = http.client.HTTPSConnection(host, int(port), context=context)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def _configuration(self, client: Client, own: Mapping[str, str]) -> dict[str, str]:
        config = open_storage(self.sealed)
        with self.state() as state:
            identity = state.identity()
            state.add(client)
        return identity.configuration(str(config.get("appOwnerPublicKey")), own)


def bind_device(vault: LocalVault, path: Path, key: str) -> None:
    """Bind a device of the vault into a sealed file."""
    SecretsManager(
        token=vault.new_client().token,
        hostname=vault.address,
        config=open_storage(path, keys=[key]),
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
        ca_file=vault.ca_file,
    ).bind()


def now() -> int:
    return time.time_ns() // 1_000_000
