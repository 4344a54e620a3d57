"""One signed request from its bytes to its encrypted answer."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec

from ksm_storage.wire import endpoints
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.answers import SecretsAnswer
from ksm_storage.wire.api_errors import throttle

from ..client_row import ClientRow, find_client
from ..data_folder import DataFolder
from ..database import Clock, Database
from ..server_settings import (
    ThrottleRule,
    current_server_key,
    load_server_key,
    read_throttle,
    spend_throttled,
)
from .admission import admit, bind, binding_part, forget_app_key
from .files import FileAddresses, add_file
from .reading import Selection, read_secrets
from .requests import (
    REPLAYED,
    OpenedRequest,
    Payload,
    RequestRejected,
    malformed,
    open_request,
    public_point,
    read_signed,
    refuse_other_key,
    rejected,
)
from .writing import (
    create_folder,
    create_record,
    delete_folders,
    delete_records,
    finalize_update,
    read_folders,
    roll_back_update,
    update_folder,
    update_record,
)


class Exchange:
    """Answer signed requests; what the owner changed since the last one is in force."""

    def __init__(
        self, folder: DataFolder, database: Database, addresses: FileAddresses, clock: Clock
    ) -> None:
        self._database = database
        self._addresses = addresses
        self._clock = clock
        self._window = ReplayWindow()
        self._counters = RequestCounters()
        # Key files never change, they only become more.
        self._private_key = lru_cache(maxsize=8)(lambda key_file: load_server_key(folder, key_file))

    def answer(self, path: str, headers: Mapping[str, str], body: bytes, *, address: str) -> bytes:
        """Return the encrypted answer, or no bytes where the protocol has none.

        Raises:
            RequestRejected: The request is malformed or not allowed; nothing has changed.
        """
        opened = self._open(headers, body)
        plain = self._perform(path, opened, address)
        if plain is None:
            return b""
        return gcm_seal(opened.transmission_key, json.dumps(plain).encode())

    def _open(self, headers: Mapping[str, str], body: bytes) -> OpenedRequest:
        signed = read_signed(headers, body)
        with self._database.read() as connection:
            key = current_server_key(connection)
        refuse_other_key(signed, key.key_id)
        private_key: ec.EllipticCurvePrivateKey = self._private_key(key.key_file)
        return open_request(signed, private_key)

    def _perform(
        self, path: str, opened: OpenedRequest, address: str
    ) -> Mapping[str, object] | None:
        with self._database.read() as connection:
            client = self._admit(connection, opened, address)
            rule = read_throttle(connection)
        self._window.refuse_repeated(opened.digest)
        if rule.refuse_next and self._spend_throttled():
            raise too_many(rule)
        self._counters.refuse_too_many(client.client_id, path, rule)
        # Until the application key is erased, even a read binds or erases.
        writes = path in WRITING_PATHS or client.encrypted_app_key is not None
        with self._database.write() if writes else self._database.read() as connection:
            # Admitted again: what was true a moment ago may be over.
            client = self._admit(connection, opened, address)
            return self._handle(connection, client, path, opened, address)

    def _handle(
        self,
        connection: sqlite3.Connection,
        client: ClientRow,
        path: str,
        opened: OpenedRequest,
        address: str,
    ) -> Mapping[str, object] | None:
        point = public_point(opened.payload)
        if point is not None:
            return self._bind(connection, client, path, opened, point, address)
        if client.encrypted_app_key is not None:
            forget_app_key(connection, client)
        if path in WRITING_PATHS:
            note_write(connection, opened.digest)
        return HANDLERS[path](connection, client, opened.payload, self._addresses)

    def _bind(
        self,
        connection: sqlite3.Connection,
        client: ClientRow,
        path: str,
        opened: OpenedRequest,
        point: bytes,
        address: str,
    ) -> Mapping[str, object]:
        if path != endpoints.GET_SECRET:
            raise malformed("a device binds with get_secret")
        bind(connection, client, point, address=address, now=self._clock())
        selection = Selection.of(opened.payload)
        answer = read_secrets(connection, client, selection, self._addresses)
        return {**answer, **binding_part(connection, client)}

    def _admit(
        self, connection: sqlite3.Connection, opened: OpenedRequest, address: str
    ) -> ClientRow:
        client = find_client(connection, opened.client_id)
        return admit(client, opened, address=address, now=self._clock())

    def _spend_throttled(self) -> bool:
        with self._database.write() as connection:
            return spend_throttled(connection)


# None where the protocol's answer has no body.
Answer = Mapping[str, object] | None
PlainHandler = Callable[[sqlite3.Connection, ClientRow, Payload], Answer]
Handler = Callable[[sqlite3.Connection, ClientRow, Payload, FileAddresses], Answer]

READING_PATHS = frozenset({endpoints.GET_SECRET, endpoints.GET_FOLDERS})
WRITING_PATHS = endpoints.PATHS - READING_PATHS


def _plain(handler: PlainHandler) -> Handler:
    return lambda connection, client, payload, _: handler(connection, client, payload)


def _get_secret(
    connection: sqlite3.Connection, client: ClientRow, payload: Payload, addresses: FileAddresses
) -> SecretsAnswer:
    return read_secrets(connection, client, Selection.of(payload), addresses)


HANDLERS: Mapping[str, Handler] = {
    endpoints.GET_SECRET: _get_secret,
    endpoints.GET_FOLDERS: _plain(lambda connection, client, _: read_folders(connection, client)),
    endpoints.CREATE_SECRET: _plain(create_record),
    endpoints.UPDATE_SECRET: _plain(update_record),
    endpoints.FINALIZE_SECRET_UPDATE: _plain(finalize_update),
    endpoints.ROLLBACK_SECRET_UPDATE: _plain(roll_back_update),
    endpoints.DELETE_SECRET: _plain(delete_records),
    endpoints.CREATE_FOLDER: _plain(create_folder),
    endpoints.UPDATE_FOLDER: _plain(update_folder),
    endpoints.DELETE_FOLDER: _plain(delete_folders),
    endpoints.ADD_FILE: add_file,
}


WINDOW_SECONDS = 3600.0
MOST_REMEMBERED = 100_000


class ReplayWindow:
    """Remember the digests of the last requests, in memory and within bounds."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def refuse_repeated(self, digest: bytes) -> None:
        """Note the digest; refuse it when it was noted before."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            if digest in self._seen:
                raise rejected(REPLAYED)
            self._seen[digest] = now

    def _forget(self, now: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen.values()))
            if now - oldest < WINDOW_SECONDS and len(self._seen) < MOST_REMEMBERED:
                return
            self._seen.popitem(last=False)


def note_write(connection: sqlite3.Connection, digest: bytes) -> None:
    """Note a write for ever, in the transaction that it makes; refuse one that was noted.

    A read that is repeated after a restart shows nobody anything: its answer is encrypted under
    a key that only the first sender has. A write could undo a later one.
    """
    changed = connection.execute("INSERT OR IGNORE INTO received VALUES (?)", (digest,))
    if changed.rowcount == 0:
        raise rejected(REPLAYED)


MOST_COUNTERS = 10_000


class RequestCounters:
    """Count the requests of each client on each path; a count ends with enough silence."""

    def __init__(self) -> None:
        self._counters: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def refuse_too_many(self, client_id: str, path: str, rule: ThrottleRule) -> None:
        """Count a request; refuse it when there were too many without a pause."""
        if rule.request_limit is None:
            return
        if self._count(client_id, path, rule.window_seconds) > rule.request_limit:
            raise too_many(rule)

    def _count(self, client_id: str, path: str, window_seconds: float) -> int:
        now = time.monotonic()
        with self._lock:
            count, last = self._counters.pop((client_id, path), (0, now))
            # A refused request counts too, so that asking again at once only prolongs the wait.
            count = 1 if now - last > window_seconds else count + 1
            self._counters[client_id, path] = (count, now)
            if len(self._counters) > MOST_COUNTERS:
                self._counters.popitem(last=False)
            return count


def too_many(rule: ThrottleRule) -> RequestRejected:
    """Return the refusal that asks for patience."""
    return RequestRejected(403, throttle(rule.retry_after_seconds), reason="throttled")
