"""Servers on loopback, and an environment without anything of the developer's."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.emulator import Emulator

from .emulated_kms import EmulatedKms
from .moto_kms import MotoKms
from .scripted_kms import ScriptedKms, scripted_kms


@pytest.fixture(autouse=True)
def _isolated(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _running_emulator() -> Iterator[EmulatedKms]:
    with Emulator(AwsKmsService()) as emulator:
        yield EmulatedKms(emulator)


@pytest.fixture
def emulator(
    _running_emulator: EmulatedKms, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmulatedKms]:
    """Run the strict emulator, its administrator being the caller; faults end with the test."""
    administrator = _running_emulator.emulator.service.administrator
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", administrator.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", administrator.secret_access_key)
    _running_emulator.emulator.reset()
    yield _running_emulator
    _running_emulator.emulator.reset()


@pytest.fixture(scope="session")
def _running_moto() -> Iterator[MotoKms]:
    with MotoKms() as moto:
        yield moto


@pytest.fixture
def moto(_running_moto: MotoKms, any_credentials: None) -> MotoKms:
    """Run moto's server."""
    return _running_moto


@pytest.fixture
def scripted(any_credentials: None) -> Iterator[ScriptedKms]:
    """Run a server that answers what a test tells it to."""
    with scripted_kms() as server:
        yield server


@pytest.fixture
def any_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set credentials for servers that do not look at them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


@pytest.fixture
def no_credentials(scripted: ScriptedKms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset what the server's fixture has set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def credential_server() -> Iterator[str]:
    """The URL of a server that issues credentials as instances and containers get them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _CredentialHandler) as server:
        serve = server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _CredentialHandler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self._send(b"a-session-token")

    def do_GET(self) -> None:
        expiry = datetime.now(UTC) + timedelta(hours=6)
        credentials = {
            "Code": "Success",
            "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
            "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "Token": "a-token",
            "Expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        is_list = self.path.endswith("/security-credentials/")
        self._send(b"instance-role" if is_list else json.dumps(credentials).encode())

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its own name
        pass
