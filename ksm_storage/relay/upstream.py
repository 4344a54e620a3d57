"""Keeper, asked once for all clients: the last answer, its age, and what is passed on."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..engine import QueryOptions, SecretsManager
from ..engine import late_errors as errors
from ..engine.transport import run
from ..errors import DecryptionError, KsmStorageError
from ..serving.requests import RequestRejected, rejected
from ..wire import api_errors, endpoints
from ..wire.aes import KEY_BYTES, GcmKey, cbc_open, gcm_open
from ..wire.api_errors import ApiError
from ..wire.base64_forms import from_base64
from ..wire.json_objects import list_of_objects, parse_object

# Keeper's counter clears after ten seconds of silence; a throttle lasts little longer.
_MAX_THROTTLED_AGE_SECONDS = 600.0
_THROTTLED_PAUSE_SECONDS = 11.0
_FAILED_PAUSE_SECONDS = 2.0
_STATUS = {
    api_errors.ACCESS_DENIED: 403,
    api_errors.OUT_OF_SYNC: 409,
    api_errors.NOT_FOUND: 404,
    api_errors.BAD_REQUEST: 400,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Say where a record is: in a shared folder, maybe in a subfolder of it."""

    root_uid: str
    inner_uid: str | None


@dataclass(slots=True)
class Entry:
    """Hold a record: its key, its ciphertext as Keeper sent it, and its places."""

    uid: str
    key: bytes = field(repr=False)
    raw: Mapping[str, Any]
    places: list[Place] = field(default_factory=list)
    _title: str | None = None
    _shared: str | None = None

    def shared_json(self, *, links: bool) -> str:
        """Return what an answer says of it to every client, without the braces around it."""
        if self._shared is None:
            shared = {name: self.raw.get(name) for name in ("data", "revision")}
            self._shared = _inside({"recordUid": self.uid, **shared})
        if not links:
            return self._shared
        return f"{self._shared},{_inside({'links': self.raw.get('links') or []})}"

    def title(self) -> str:
        """Return the title; it is decrypted the first time."""
        if self._title is None:
            try:
                data = parse_object(gcm_open(self.key, from_base64(self.raw["data"])))
                self._title = str(data.get("title") or "")
            except (DecryptionError, ValueError, KeyError):
                self._title = ""
        return self._title


@dataclass(frozen=True, slots=True)
class FolderNode:
    """Hold a folder of the tree: its real key, its parent, and its name as JSON bytes."""

    uid: str
    key: bytes = field(repr=False)
    parent_uid: str | None
    root_uid: str
    name_json: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold one answer of Keeper for the whole application.

    Attributes:
        files: Record uid and address of each file, by the file's uid.
        fetched: When it was received, by the monotonic clock.
        offline_since: When it was made, if it comes from the offline copy.
    """

    records: Mapping[str, Entry]
    files: Mapping[str, tuple[str, str]] = field(repr=False)
    root_keys: Mapping[str, bytes] = field(repr=False)
    app_data: bytes
    expires_on: int | None
    fetched: float
    offline_since: datetime | None


class Upstream:
    """Ask Keeper with the one real device; reads are shared and kept for some seconds."""

    def __init__(
        self,
        manager: SecretsManager,
        *,
        cache_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = manager._session
        self._cache_seconds = cache_seconds
        self._clock = clock
        # Held while Keeper is asked, so that concurrent misses share one request.
        self._fetching = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._tree: tuple[float, Mapping[str, FolderNode]] | None = None
        self._stale = False
        # Until when Keeper is not asked again, and why.
        self._failure: tuple[float, KsmStorageError] | None = None
        self.requests = 0
        self.failures = 0
        self.last_error: str | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """The last answer, if there is one."""
        return self._snapshot

    def age(self, snapshot: Snapshot) -> float:
        """Return how many seconds ago an answer was received."""
        return self._clock() - snapshot.fetched

    def invalidate(self) -> None:
        """Make the next read ask Keeper."""
        self._stale = True

    def read(self) -> Snapshot:
        """Return an answer that is new enough.

        Raises:
            RequestRejected: Keeper is unreachable, or refuses the relay's own device.
        """
        found = self._fresh()
        if found is not None:
            return found
        with self._fetching:
            # Whoever waited here finds what the first one fetched.
            return self._fresh() or self._fetch()

    def folders(self) -> Mapping[str, FolderNode]:
        """Return the folder tree by uid, as new as the records."""
        snapshot = self.read()
        with self._fetching:
            if self._tree is None or self._tree[0] != snapshot.fetched:
                answer = self._ask(endpoints.GET_FOLDERS, {})
                self._tree = (snapshot.fetched, _folder_tree(answer, snapshot.root_keys))
            return self._tree[1]

    def pass_on(self, path: str, payload: Mapping[str, object]) -> bytes:
        """Send a change to Keeper and return its answer; the next read sees the change."""
        try:
            return self._ask(path, payload)
        finally:
            self.invalidate()

    def download(self, url: str, limit: int) -> bytes:
        """Return the encrypted file at an address that Keeper gave."""
        return self._guarded(lambda: run(self._session.download(url, limit)))

    def upload(self, url: str, *, media_type: str, body: bytes) -> None:
        """Post an encrypted file to an address that Keeper gave."""

        def post() -> bytes:
            run(self._session.upload(url, media_type=media_type, body=body))
            return b""

        try:
            self._guarded(post)
        finally:
            self.invalidate()

    def owner_public_key(self) -> bytes:
        """Return the key to which clients seal the keys of new records."""
        return self._session.device.owner_public_key()

    def _fresh(self) -> Snapshot | None:
        found = self._snapshot
        if found is None or self._stale or self._clock() - found.fetched > self._cache_seconds:
            return None
        return found

    def _fetch(self) -> Snapshot:
        if self._failure is not None and self._clock() < self._failure[0]:
            # Those who waited for the same request do not each wait for one of their own.
            return self._last_good(self._failure[1])
        self._stale = False
        self.requests += 1
        try:
            options = QueryOptions(request_links=True)
            answer, offline_since = run(self._session.fetch_secrets(options))
            found = self._parsed(answer, offline_since)
        except KsmStorageError as exc:
            # What was asked for is still to be fetched.
            self._stale = True
            self._noted(exc)
            return self._last_good(exc)
        self.last_error, self._failure = None, None
        self._snapshot = found
        return found

    def _last_good(self, exc: KsmStorageError) -> Snapshot:
        found, throttled = self._snapshot, isinstance(exc, errors.ServerThrottledError)
        if throttled and found and self._clock() - found.fetched < _MAX_THROTTLED_AGE_SECONDS:
            return found
        if getattr(exc, "server_code", None) == api_errors.ACCESS_DENIED:
            # Whoever may not read online may not go on reading from memory.
            self._snapshot = None
        raise _rejection(exc, at_read=True) from exc

    def _noted(self, exc: KsmStorageError) -> None:
        self.failures += 1
        self.last_error = type(exc).__name__
        throttled = isinstance(exc, errors.ServerThrottledError)
        pause = _THROTTLED_PAUSE_SECONDS if throttled else _FAILED_PAUSE_SECONDS
        self._failure = (self._clock() + pause, exc)

    def _ask(self, path: str, payload: Mapping[str, object]) -> bytes:
        async def ask() -> bytes:
            own = await self._session.client_part()
            return await self._session.exchange(path, {**payload, **own})

        return self._guarded(lambda: run(ask()))

    def _guarded(self, work: Callable[[], bytes]) -> bytes:
        self.requests += 1
        try:
            return work()
        except KsmStorageError as exc:
            self.failures += 1
            self.last_error = type(exc).__name__
            raise _rejection(exc, at_read=False) from exc

    def _parsed(self, answer: bytes, offline_since: datetime | None) -> Snapshot:
        try:
            parsed = parse_object(answer)
        except ValueError as exc:
            raise errors.ServerAnswerError("the answer is not a JSON object") from exc
        app = GcmKey(self._session.device.app_key())
        folders = list_of_objects(parsed.get("folders"))
        roots = _root_keys(folders, app)
        expires_on = parsed.get("expiresOn")
        app_data = parsed.get("appData")
        records = _entries(list_of_objects(parsed.get("records")), folders, app, roots)
        return Snapshot(
            records=records,
            files={
                str(file.get("fileUid")): (entry.uid, str(file.get("url")))
                for entry in records.values()
                for file in list_of_objects(entry.raw.get("files"))
            },
            root_keys=roots,
            app_data=app.open(from_base64(app_data)) if app_data else b"{}",
            expires_on=expires_on if isinstance(expires_on, int) and expires_on > 0 else None,
            fetched=self._clock(),
            offline_since=offline_since,
        )


def _inside(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))[1:-1]


def _rejection(exc: KsmStorageError, *, at_read: bool) -> RequestRejected:
    """Return the client's error: Keeper's own where it is about the client's request."""
    code = getattr(exc, "server_code", None) or ""
    if isinstance(exc, errors.ServerThrottledError):
        return RequestRejected(403, api_errors.throttle(_THROTTLED_PAUSE_SECONDS))
    # A read is refused because of the relay's own device, which does not concern the client.
    if isinstance(exc, errors.ServerRefusedError) and code in _STATUS and not at_read:
        error = ApiError(_STATUS[code], code, exc.server_message or "Keeper rejected the request")
        return rejected(error)
    _log.warning("cannot reach Keeper: %s", exc.message)
    return rejected(ApiError(503, "unavailable", "Keeper is unavailable, or refuses the relay"))


def _root_keys(folders: Sequence[Mapping[str, Any]], app: GcmKey) -> dict[str, bytes]:
    keys = {}
    for folder in folders:
        try:
            keys[str(folder["folderUid"])] = app.open(from_base64(folder["folderKey"]))
        except (DecryptionError, ValueError, KeyError, TypeError):
            _log.warning("a folder that cannot be decrypted is left out")
    return keys


def _entries(
    flat: Sequence[Mapping[str, Any]],
    folders: Sequence[Mapping[str, Any]],
    app: GcmKey,
    roots: Mapping[str, bytes],
) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for raw in flat:
        # A record of a shared folder may be listed beside it: its key is under the folder's.
        for uid in (str(raw.get("innerFolderUid")), str(raw.get("folderUid"))):
            if uid in roots:
                _add(found, raw, GcmKey(roots[uid]), Place(uid, None))
                break
        else:
            _add(found, raw, app, None)
    for folder in folders:
        root = str(folder.get("folderUid"))
        if root not in roots:
            continue
        key = GcmKey(roots[root])
        for raw in list_of_objects(folder.get("records")):
            inner = raw.get("innerFolderUid")
            _add(found, raw, key, Place(root, str(inner) if inner else None))
    return found


def _add(found: dict[str, Entry], raw: Mapping[str, Any], key: GcmKey, place: Place | None) -> None:
    uid = str(raw.get("recordUid"))
    entry = found.get(uid)
    if entry is None:
        try:
            # Without a key of its own, the application key is the record's key: to give it to a
            # client would give the client everything.
            record_key = key.open(from_base64(raw["recordKey"]))
        except (DecryptionError, ValueError, KeyError, TypeError):
            _log.warning("record %.22r cannot be relayed", uid)
            return
        if len(record_key) != KEY_BYTES:
            return
        entry = found[uid] = Entry(uid, record_key, raw)
    if place is not None and place not in entry.places:
        entry.places.append(place)


def _folder_tree(answer: bytes, roots: Mapping[str, bytes]) -> dict[str, FolderNode]:
    tree: dict[str, FolderNode] = {}
    waiting = list_of_objects(parse_object(answer).get("folders")) if answer else []
    while waiting:
        left = [folder for folder in waiting if not _placed(tree, folder, roots)]
        # A cycle, or a folder whose parent is not shared: it has no place.
        if len(left) == len(waiting):
            break
        waiting = left
    return tree


def _placed(
    tree: dict[str, FolderNode], folder: Mapping[str, Any], roots: Mapping[str, bytes]
) -> bool:
    uid, parent = str(folder.get("folderUid")), folder.get("parent")
    try:
        if parent is None:
            key, root = roots[uid], uid
        else:
            root = tree[str(parent)].root_uid
            key = cbc_open(roots[root], from_base64(folder["folderKey"]))
        name = cbc_open(key, from_base64(folder["data"]))
        json.loads(name)
    except (DecryptionError, ValueError, KeyError, TypeError):
        return False
    tree[uid] = FolderNode(uid, key, None if parent is None else str(parent), root, name)
    return True
