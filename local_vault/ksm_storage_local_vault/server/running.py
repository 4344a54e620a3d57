"""Start the server, say where it listens, and stop it when told."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from ksm_storage.errors import SettingsError, StorageError

from ..data_folder import DataFolder
from ..database import Clock, Database, now_milliseconds, open_vault
from ..server_settings import current_server_key
from .certificates import LOCAL_NAMES, prepare_tls
from .exchange import Exchange
from .files import FileAddresses, load_address_secret
from .web import make_application

# A client that keeps an idle connection open is waited for; what is under way takes far less.
STOP_SECONDS = 3
MOST_CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Listening:
    """Say where and as whom a server listens; nothing of it is secret."""

    address: str
    ca_file: str
    server_public_key_id: str
    server_public_key: str


def run_server(
    folder: DataFolder,
    announce: Callable[[Listening], None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    names: Sequence[str] = (),
    clock: Clock = now_milliseconds,
) -> None:
    """Serve until SIGTERM or SIGINT, and finish what was begun before returning.

    ``announce`` is called once, when connections are taken. ``names`` are what clients call this
    machine where that is not ``host``; the first one is used in addresses that are given out.

    Raises:
        SettingsError: The address cannot be listened on, another server serves the folder, or the
            certificate authority was made for other names.
    """
    database = open_vault(folder, clock=clock)
    try:
        with sole_server(folder), _listening_socket(host, port) as listener:
            address = f"{_bracketed([*names, host][0])}:{listener.getsockname()[1]}"
            addresses = FileAddresses(address, load_address_secret(folder), clock)
            exchange = Exchange(folder, database, addresses, clock)
            application = make_application(exchange, database, addresses, clock)
            certificate = prepare_tls(folder, _certificate_names(host, names))
            with _noted_address(folder, address):
                announce(_listening(folder, database, address))
                with _returning_signals():
                    uvicorn.Server(_configuration(application, certificate)).run([listener])
    finally:
        database.close()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _configuration(application: Starlette, certificate: Path) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        ssl_certfile=certificate,
        log_config=None,
        access_log=False,
        # Otherwise a header could choose the address that a device is locked to.
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http="h11",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _listening(folder: DataFolder, database: Database, address: str) -> Listening:
    with database.read() as connection:
        key = current_server_key(connection)
    return Listening(address, str(folder.ca_certificate), key.key_id, key.public_text)


def _listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it, the parts of an
    # answer wait 40 ms for each other.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MOST_CONNECTIONS)
    except OSError as exc:
        listener.close()
        raise SettingsError(
            f"cannot listen on {_bracketed(host)}:{port}: {exc.strerror}",
            hint="give another --port, or 0 for any free one",
        ) from exc
    return listener


@contextlib.contextmanager
def _noted_address(folder: DataFolder, address: str) -> Iterator[None]:
    folder.write_address(address)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.address_file.unlink()


def _certificate_names(host: str, names: Sequence[str]) -> list[str]:
    own = [] if host in ("0.0.0.0", "::") else [host]  # noqa: S104 - compared, not bound
    return list(dict.fromkeys([*LOCAL_NAMES, *own, *names]))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _returning_signals() -> Iterator[None]:
    # The server stops gracefully and then raises the signal again for whoever handled it before;
    # being told to stop is no failure, so that second one ends here.
    handled = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: None) for number in handled]
    try:
        yield
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def sole_server(folder: DataFolder) -> Iterator[None]:
    """Hold the folder for one server; the lock ends with the process, however that ends.

    Two servers would each remember only the requests that they saw themselves, and the one that
    stops first would take the address of the other away.

    Raises:
        SettingsError: Another server holds it.
        StorageError: The folder cannot be written.
    """
    # SQLite's own locks: the same on every system, and gone after a kill.
    connection = _locked(folder.serving_lock, folder)
    try:
        yield
    finally:
        connection.close()


def _locked(path: Path, folder: DataFolder) -> sqlite3.Connection:
    _make_private(path)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as exc:
        connection.close()
        if "locked" not in str(exc):
            raise StorageError(
                f"cannot lock {str(path)!r}",
                hint="look whether the disk is full, or the folder can only be read",
            ) from exc
        raise SettingsError(
            f"another server serves {str(folder.path)!r}{_where(folder)}",
            hint="stop it, or give another folder with --data",
        ) from exc
    return connection


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise StorageError(f"cannot write {str(path)!r}: {exc.strerror}") from exc


def _where(folder: DataFolder) -> str:
    address = folder.read_address()
    return f" at {address}" if address else ""
