"""A vault in a process of its own, for tests of clients."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ksm_storage.errors import StorageError

from .data_folder import DataFolder
from .owner.access import NewClient, add_client, create_application
from .owner.folders import add_folder
from .owner.records import add_file, add_records
from .owner.session import OwnerSession, owner_session

APP_NAME = "test application"
FILE_CONTENT = bytes(range(256)) * 8
STOP_SECONDS = 20


class LocalVault:
    """Start, kill and restart one server; make what it serves with ``owner()``.

    The port stays the same over restarts, so that a bound client finds its server again.
    """

    def __init__(self, folder: Path) -> None:
        self.data = folder / "vault"
        self.log_file = folder / "server.log"
        self.owner_file = DataFolder(self.data).default_owner_file
        self.address = ""
        self.server_public_key = ""
        self.server_public_key_id = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def ca_file(self) -> str:
        """What a client is to trust: ``REQUESTS_CA_BUNDLE`` of the official SDK."""
        return str(DataFolder(self.data).ca_certificate)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._running().pid

    def start(self) -> None:
        """Start the server, on the port that it had before, and wait until it takes connections."""
        port = self.address.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "ksm_storage_local_vault", str(self.data), port]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdout=subprocess.PIPE, stderr=log, text=True
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise StorageError(f"the vault did not start, see {str(self.log_file)!r}")
        listening = json.loads(line)
        self.address = listening["address"]
        self.server_public_key = listening["server_public_key"]
        self.server_public_key_id = listening["server_public_key_id"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell the server to stop and return its exit code."""
        return self._end(number)

    def kill(self) -> None:
        """End the server as a crash would, with whatever it is doing."""
        self._end(getattr(signal, "SIGKILL", signal.SIGTERM))

    def owner(self) -> AbstractContextManager[OwnerSession]:
        """Open the owner's side, from this process; the running server sees what it changes."""
        return owner_session(self.data, self.owner_file)

    def new_client(
        self,
        *,
        app: str = APP_NAME,
        unlock_ip: bool = False,
        token_seconds: float = 600.0,
        access_seconds: float | None = None,
    ) -> NewClient:
        """Make a one-time token; ``.token`` goes to the client with :attr:`address`."""
        with self.owner() as owner:
            return add_client(
                owner,
                app=app,
                unlock_ip=unlock_ip,
                token_seconds=token_seconds,
                access_seconds=access_seconds,
            )

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise StorageError("the vault does not run")
        return self._process

    def _end(self, number: int) -> int:
        process, self._process = self._running(), None
        with process:
            os.kill(process.pid, number)
            return process.wait(STOP_SECONDS)


@contextmanager
def running_vault(folder: Path) -> Iterator[LocalVault]:
    """Run a new, empty vault below the folder, and stop it at the end."""
    vault = LocalVault(folder)
    vault.start()
    try:
        yield vault
    finally:
        if vault._process is not None:
            vault.stop()


@dataclass(frozen=True, slots=True)
class SampleContent:
    """The uids of what :func:`add_sample_content` made."""

    alone: str
    in_folder: str
    in_child: str
    folder: str
    child: str
    file: str


def add_sample_content(vault: LocalVault) -> SampleContent:
    """Create an application, a folder with a child, three records and a file."""
    with vault.owner() as owner:
        create_application(owner, APP_NAME)
        folder = add_folder(owner, "Shared", app=APP_NAME).folder_uid
        child = add_folder(owner, "Child", app=APP_NAME, parent="Shared").folder_uid
        alone, in_folder, in_child = add_records(
            owner,
            [
                login_record("alone", "password-of-alone"),
                {**login_record("in folder", "password-of-in-folder"), "folder": "Shared"},
                {**login_record("in child", "password-of-in-child"), "folder": "Child"},
            ],
            app=APP_NAME,
        )
        file = add_file(owner, FILE_CONTENT, app=APP_NAME, record_uid=alone, name="all.bin")
    return SampleContent(alone, in_folder, in_child, folder, child, file)


def login_record(title: str, password: str) -> dict[str, object]:
    """Return a record of type login."""
    return {
        "title": title,
        "type": "login",
        "fields": [
            {"type": "login", "value": ["bob"]},
            {"type": "password", "value": [password]},
        ],
        "custom": [{"type": "text", "label": "note", "value": ["one", "two"]}],
        "notes": f"notes of {title}",
    }
