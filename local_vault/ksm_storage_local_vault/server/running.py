"""Start the server, say where it listens, and stop it when told."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ksm_storage.errors import SettingsError, StorageError
from ksm_storage.serving.addresses import Clock, FileAddresses, bracketed, now_milliseconds
from ksm_storage.serving.certificates import LOCAL_NAMES, Authority, ServerCertificate
from ksm_storage.serving.database import Database
from ksm_storage.serving.listening import listening_socket, serve

from ..data_folder import DataFolder, read_private, write_private
from ..schema import open_vault
from ..server_settings import current_server_key
from .exchange import Exchange
from .files import load_address_secret
from .web import make_application


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

    ``announce`` is called once, when connections are accepted. ``names`` are what clients call
    this machine where that is not ``host``; the first one is used in addresses that are given out.

    Raises:
        SettingsError: The address cannot be used, another server serves the folder, or the
            certificate authority was made for other names.
    """
    database = open_vault(folder, clock=clock)
    try:
        with _sole_server(folder), listening_socket(host, port) as listener:
            address = f"{bracketed([*names, host][0])}:{listener.getsockname()[1]}"
            addresses = FileAddresses(address, load_address_secret(folder), clock)
            exchange = Exchange(folder, database, addresses, clock)
            application = make_application(exchange, database, addresses, clock)
            certificate = server_certificate(folder, _certificate_names(host, names))
            with _noted_address(folder, address):
                listening = _listening(folder, database, address)
                serve(
                    application,
                    [listener],
                    tls=certificate.context,
                    announce=lambda: announce(listening),
                )
    finally:
        database.close()


def server_certificate(folder: DataFolder, names: Sequence[str]) -> ServerCertificate:
    """Return a fresh certificate for the names.

    The authority is made once and its key never leaves the data folder. Its certificate is
    limited to the names of the first start, so that trusting it endangers no other host.
    """
    authority = _authority(folder, names)
    outside = authority.name_outside(names)
    if outside is not None:
        raise SettingsError(
            f"the vault's certificate authority is not valid for {outside!r}",
            hint="delete ca.pem and keys/ca-key.pem from the data folder to make a new authority",
        )
    return ServerCertificate(authority, "ksm-storage local vault", names)


def _authority(folder: DataFolder, names: Sequence[str]) -> Authority:
    key_path = folder.keys / "ca-key.pem"
    if not folder.ca_certificate.exists() or not key_path.exists():
        made = Authority.new("ksm-storage local vault CA", names)
        write_private(key_path, made.key_pem)
        write_private(folder.ca_certificate, made.certificate_pem)
    try:
        return Authority.from_pem(read_private(folder.ca_certificate), read_private(key_path))
    except ValueError as exc:
        raise StorageError("the vault's certificate authority is damaged") from exc


def _certificate_names(host: str, names: Sequence[str]) -> list[str]:
    own = [] if host in ("0.0.0.0", "::") else [host]  # noqa: S104 - compared, not bound
    return list(dict.fromkeys([*LOCAL_NAMES, *own, *names]))


def _listening(folder: DataFolder, database: Database, address: str) -> Listening:
    with database.read() as connection:
        key = current_server_key(connection)
    return Listening(address, str(folder.ca_certificate), key.key_id, key.public_text)


@contextlib.contextmanager
def _noted_address(folder: DataFolder, address: str) -> Iterator[None]:
    folder.write_address(address)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.address_file.unlink()


@contextlib.contextmanager
def _sole_server(folder: DataFolder) -> Iterator[None]:
    """Hold the folder for one server; the lock ends with the process, however that ends.

    Two servers would each remember only the requests that they saw themselves, and the one that
    stops first would delete the address of the other.
    """
    path = folder.serving_lock
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise StorageError(f"cannot write {str(path)!r}: {exc.strerror}") from exc
    # SQLite's own locks: the same on every system, and gone after a kill.
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _lock(connection, folder)
        yield
    finally:
        connection.close()


def _lock(connection: sqlite3.Connection, folder: DataFolder) -> None:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise StorageError(
                f"cannot lock {str(folder.serving_lock)!r}",
                hint="check that the disk is not full and the folder is writable",
            ) from exc
        address = folder.read_address()
        at = f" at {address}" if address else ""
        raise SettingsError(
            f"another server is already serving {str(folder.path)!r}{at}",
            hint="stop it, or give another folder with --data",
        ) from exc
