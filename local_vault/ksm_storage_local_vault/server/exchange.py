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

from ksm_storage.serving.addresses import Clock, FileAddresses
from ksm_storage.serving.admission import admit
from ksm_storage.serving.database import Database
from ksm_storage.serving.requests import (
    REPLAYED,
    OpenedRequest,
    Payload,
    ReplayWindow,
    RequestRejected,
    malformed,
    open_request,
    public_point,
    read_signed,
    rejected,
)
from ksm_storage.wire import endpoints
from ksm_storage.wire.aes import gcm_seal
from ksm_storage.wire.api_errors import key_change, throttle

from ..client_row import ClientRow, find_client
from ..data_folder import DataFolder
from ..server_settings import (
    ThrottleRule,
    current_server_key,
    load_server_key,
    read_throttle,
    spend_throttled,
)
from .binding import bind, binding_part, forget_app_key
from .files import add_file
from .reading import Selection, read_folders, read_secrets
from .writing import (
    create_folder,
    create_record,
    delete_folders,
    delete_records,
    finalize_update,
    roll_back_update,
    update_folder,
    update_record,
)

# None where the protocol's answer has no body.
_Answer = Mapping[str, object] | None
_Writer = Callable[[sqlite3.Connection, ClientRow, Payload], _Answer]

_MAX_COUNTERS = 10_000
_READING_PATHS = frozenset({endpoints.GET_SECRET, endpoints.GET_FOLDERS})
_WRITERS: Mapping[str, _Writer] = {
    endpoints.CREATE_SECRET: create_record,
    endpoints.UPDATE_SECRET: update_record,
    endpoints.FINALIZE_SECRET_UPDATE: finalize_update,
    endpoints.ROLLBACK_SECRET_UPDATE: roll_back_update,
    endpoints.DELETE_SECRET: delete_records,
    endpoints.CREATE_FOLDER: create_folder,
    endpoints.UPDATE_FOLDER: update_folder,
    endpoints.DELETE_FOLDER: delete_folders,
}


class Exchange:
    """Answer signed requests; what the owner changed since the last one is in force."""

    def __init__(
        self, folder: DataFolder, database: Database, addresses: FileAddresses, clock: Clock
    ) -> None:
        self._database = database
        self._addresses = addresses
        self._clock = clock
        self._window = ReplayWindow()
        self._counters = _RequestCounters()
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
        if signed.public_key_id != key.key_id:
            raise RequestRejected(403, key_change(key.key_id))
        private_key: ec.EllipticCurvePrivateKey = self._private_key(key.key_file)
        return open_request(signed, private_key)

    def _perform(self, path: str, opened: OpenedRequest, address: str) -> _Answer:
        with self._database.read() as connection:
            client = self._admit(connection, opened, address)
            rule = read_throttle(connection)
        self._window.reject_repeated(opened.digest)
        if rule.throttle_next and self._spend_throttled():
            raise _throttled(rule)
        self._counters.count(client.client_id, path, rule)
        # Until the application key is erased, even a read binds or erases.
        writes = path not in _READING_PATHS or client.encrypted_app_key is not None
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
    ) -> _Answer:
        point = public_point(opened.payload)
        if point is not None:
            return self._bind(connection, client, path, opened, point, address)
        if client.encrypted_app_key is not None:
            forget_app_key(connection, client)
        if path == endpoints.GET_SECRET:
            selection = Selection.of(opened.payload)
            return read_secrets(connection, client, selection, self._addresses)
        if path == endpoints.GET_FOLDERS:
            return read_folders(connection, client)
        _note_write(connection, opened.digest)
        if path == endpoints.ADD_FILE:
            return add_file(connection, client, opened.payload, self._addresses)
        return _WRITERS[path](connection, client, opened.payload)

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


class _RequestCounters:
    """Count the requests of each client on each path; enough silence resets a count."""

    def __init__(self) -> None:
        self._counters: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, client_id: str, path: str, rule: ThrottleRule) -> None:
        """Count a request; reject it when there were too many without a pause."""
        if rule.request_limit is None:
            return
        now = time.monotonic()
        with self._lock:
            count, last = self._counters.pop((client_id, path), (0, now))
            # A throttled request counts too, so that asking again at once prolongs the wait.
            count = 1 if now - last > rule.window_seconds else count + 1
            self._counters[client_id, path] = (count, now)
            if len(self._counters) > _MAX_COUNTERS:
                self._counters.popitem(last=False)
        if count > rule.request_limit:
            raise _throttled(rule)


def _throttled(rule: ThrottleRule) -> RequestRejected:
    return RequestRejected(rule.status, throttle(rule.retry_after_seconds), reason="throttled")


def _note_write(connection: sqlite3.Connection, digest: bytes) -> None:
    """Note a write for ever, in the transaction that it makes; reject one that was noted.

    A read that is repeated after a restart reveals nothing: its answer is encrypted under
    a key that only the first sender has. A write could undo a later one.
    """
    changed = connection.execute("INSERT OR IGNORE INTO received VALUES (?)", (digest,))
    if changed.rowcount == 0:
        raise rejected(REPLAYED)
