"""One signed request from its bytes to its encrypted answer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec

from ...wire import endpoints
from ...wire.aes import gcm_seal
from ..client_row import ClientRow, find_client
from ..clock import Clock
from ..data_folder import DataFolder
from ..database import Database
from ..server_keys import current_server_key, load_server_key
from ..throttle_rule import read_throttle, spend_refusal
from .admission import admit
from .binding import bind, binding_part, forget_app_key
from .file_addresses import FileAddresses
from .handlers import HANDLERS, WRITING_PATHS
from .payload import public_point
from .refused import malformed
from .replays import ReplayWindow, note_write
from .request_opening import OpenedRequest, open_request, read_signed, refuse_other_key
from .secrets_reading import Selection, read_secrets
from .throttling import RequestCounters, too_many


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
            Refused: The request is malformed or not allowed; nothing has changed.
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
        if rule.refuse_next and self._spend_refusal():
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

    def _spend_refusal(self) -> bool:
        with self._database.write() as connection:
            return spend_refusal(connection)
