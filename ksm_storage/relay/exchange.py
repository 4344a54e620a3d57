"""One request of a client from its bytes to its encrypted answer."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from ..audit.events import emit
from ..engine.keeper_file import multipart_form
from ..serving.addresses import (
    DOWNLOAD_EXPIRED,
    LIFE_MILLISECONDS,
    UPLOAD_EXPIRED,
    FileAddresses,
)
from ..serving.admission import admit, check_access
from ..serving.requests import (
    OpenedRequest,
    ReplayWindow,
    RequestRejected,
    malformed,
    open_request,
    public_point,
    read_signed,
    rejected,
)
from ..serving.web import MAX_FILE_BYTES
from ..wire import endpoints
from ..wire.aes import gcm_seal
from ..wire.answers import AddFileAnswer
from ..wire.api_errors import CLIENT_UNKNOWN, OBJECT_UNKNOWN, key_change
from ..wire.base64_forms import to_base64, to_url_safe
from ..wire.json_objects import parse_object
from .answers import View, read_folders, read_secrets
from .grant import Client
from .state import SERVER_KEY_ID, Identity, RelayState
from .upstream import Snapshot, Upstream
from .writing import Writer

_NOTE_USE_SECONDS = 30.0
_MAX_TICKETS = 10_000
_log = logging.getLogger(__name__)


class Exchange:
    """Answer clients; a client that was added or revoked is so from the next request on."""

    def __init__(self, state: RelayState, identity: Identity, upstream: Upstream) -> None:
        self.upstream = upstream
        self.addresses = FileAddresses(identity.address, identity.address_secret, now_milliseconds)
        self._state = state
        self._server_key = identity.server_key
        self._owner_key = to_base64(upstream.owner_public_key())
        self._window = ReplayWindow()
        self._lock = threading.Lock()
        self._views: dict[str, View] = {}
        # The last answer of which there are views.
        self._shown: Snapshot | None = None
        self._last_used: dict[str, int] = {}
        self._used_before: Set[str] = frozenset()
        self._noted = time.monotonic()
        # What an upload ticket of ours stands for: client, Keeper's address and parameters.
        self._tickets: dict[str, tuple[str, int, str, Mapping[str, Any]]] = {}

    def answer(self, path: str, headers: Mapping[str, str], body: bytes, address: str) -> bytes:
        """Return the encrypted answer, or no bytes where the protocol has none.

        Raises:
            RequestRejected: The request is malformed or not allowed, or Keeper cannot answer.
        """
        signed = read_signed(headers, body)
        if signed.public_key_id != SERVER_KEY_ID:
            raise RequestRejected(403, key_change(SERVER_KEY_ID))
        opened = open_request(signed, self._server_key)
        client = self._admitted(opened, address)
        try:
            plain, uids = self._perform(path, client, opened)
        except RequestRejected as exc:
            _audit(client, path, (), code=str(exc.body.get("result_code", "")))
            raise
        _audit(client, path, uids)
        if plain is None:
            return b""
        return gcm_seal(opened.transmission_key, plain.encode())

    def download(self, file_uid: str, query: Mapping[str, str], address: str) -> bytes:
        """Return the encrypted content of a file to the client for which the address was made."""
        client_id = query.get("client", "")
        if not self.addresses.allows_download(
            file_uid, client_id, expires=query.get("expires", ""), seal=query.get("seal", "")
        ):
            raise rejected(DOWNLOAD_EXPIRED)
        client = self._checked(client_id, address)
        view = self._view(client)
        record_uid, url = view.snapshot.files.get(file_uid, ("", ""))
        if view.find(record_uid) is None:
            raise rejected(OBJECT_UNKNOWN)
        content = self.upstream.download(url, MAX_FILE_BYTES)
        _audit(client, "download", [record_uid])
        return content

    def upload(self, ticket: str, content: bytes, address: str) -> bytes:
        """Pass the content for which the ticket was given on to Keeper's store, once."""
        with self._lock:
            client_id, expires, url, parameters = self._tickets.pop(ticket, ("", 0, "", {}))
        if now_milliseconds() >= expires:
            raise rejected(UPLOAD_EXPIRED)
        self._checked(client_id, address)
        media_type, body = multipart_form(parameters, content)
        self.upstream.upload(url, media_type=media_type, body=body)
        return b""

    def note_use(self) -> None:
        """Write down when clients were last used; called now and then, and at the end."""
        with self._lock:
            # Of many short-lived clients, each would keep its view until the next answer of Keeper.
            recent = self._last_used.keys() | self._used_before
            self._views = {k: view for k, view in self._views.items() if k in recent}
            used, self._last_used = self._last_used, {}
            self._used_before = used.keys()
            self._noted = time.monotonic()
        if used:
            self._state.note_use(used)

    def _admitted(self, opened: OpenedRequest, address: str) -> Client:
        now = now_milliseconds()
        client_id = opened.client_id
        client = admit(self._state.find(client_id), opened, address=address, now=now)
        self._window.reject_repeated(opened.digest)
        point = public_point(opened.payload)
        arrived = point is None and client.encrypted_app_key is not None
        must_lock = client.address_locked and client.address is None
        if point is not None or arrived or must_lock:

            def changed(current: Client | None) -> Client:
                # Admitted again: of two devices with one token only the first one binds.
                found = admit(current, opened, address=address, now=now)
                if point is not None:
                    found = replace(found, public_point=point)
                if arrived:
                    found = replace(found, encrypted_app_key=None)
                return replace(found, address=found.address or address)

            client = self._state.update(client_id, changed)
        with self._lock:
            self._last_used[client_id] = now
            due = time.monotonic() - self._noted > _NOTE_USE_SECONDS
        if due:
            self.note_use()
        return client

    def _checked(self, client_id: str, address: str) -> Client:
        client = self._state.find(client_id)
        if client is None:
            raise rejected(CLIENT_UNKNOWN)
        check_access(client, address=address, now=now_milliseconds())
        return client

    def _perform(
        self, path: str, client: Client, opened: OpenedRequest
    ) -> tuple[str | None, Sequence[str]]:
        payload = opened.payload
        binds = public_point(payload) is not None
        if binds and path != endpoints.GET_SECRET:
            raise malformed("a device binds with get_secret")
        if path == endpoints.GET_FOLDERS:
            return _json(read_folders(client, self.upstream.folders())), ()
        view = self._view(client)
        if path == endpoints.GET_SECRET:
            binding = {}
            if binds and client.encrypted_app_key is not None:
                binding["encryptedAppKey"] = to_base64(client.encrypted_app_key)
                binding["appOwnerPublicKey"] = self._owner_key
            return read_secrets(view, payload, self.addresses, binding)
        writer = Writer(view, self.upstream)
        if path == endpoints.ADD_FILE:
            return _json(self._add_file(writer, client, payload)), _named(payload)
        answer = writer.write(path, payload)
        return None if answer is None else _json(answer), _named(payload)

    def _add_file(
        self, writer: Writer, client: Client, payload: Mapping[str, object]
    ) -> Mapping[str, Any]:
        place = writer.add_file(dict(payload))
        try:
            parameters = parse_object(place["parameters"])
            url = str(place["url"])
        except (KeyError, TypeError, ValueError) as exc:
            raise malformed("Keeper gave no address for the upload") from exc
        ticket = to_url_safe(os.urandom(32))
        expires = now_milliseconds() + LIFE_MILLISECONDS
        with self._lock:
            while len(self._tickets) >= _MAX_TICKETS:
                self._tickets.pop(next(iter(self._tickets)))
            self._tickets[ticket] = (client.client_id, expires, url, parameters)
        answer: AddFileAnswer = self.addresses.upload_answer(ticket)
        return dict(answer)

    def _view(self, client: Client) -> View:
        snapshot = self.upstream.read()
        with self._lock:
            found = self._views.get(client.client_id)
        if found is None or found.snapshot is not snapshot or found.client.grant != client.grant:
            found = View.of(client, snapshot, self.upstream.folders, found)
            with self._lock:
                if snapshot is not self._shown:
                    # Views of older answers would keep those in memory, for clients that may
                    # never ask again.
                    self._views = {
                        k: v for k, v in self._views.items() if v.snapshot is self._shown
                    }
                    self._shown = snapshot
                self._views[client.client_id] = found
        return found


def now_milliseconds() -> int:
    """Return the time as the protocol counts it."""
    return time.time_ns() // 1_000_000


def _json(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, separators=(",", ":"))


def _named(payload: Mapping[str, object]) -> list[str]:
    several = payload.get("recordUids")
    single = payload.get("recordUid") or payload.get("ownerRecordUid")
    names = several if isinstance(several, list) else [single] if single else []
    return [str(name) for name in names]


def _audit(client: Client, operation: str, records: Sequence[str], *, code: str = "") -> None:
    emit("relayed", client=client.name, operation=operation, records=records, code=code or None)
