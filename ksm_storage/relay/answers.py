"""What a client is answered: its records, with every key encrypted anew for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..serving.addresses import FileAddresses
from ..serving.requests import Payload, uids
from ..wire.aes import GcmKey, cbc_seal, gcm_seal
from ..wire.base64_forms import to_base64
from ..wire.json_objects import list_of_objects
from .grant import Client
from .upstream import Entry, FolderNode, Place, Snapshot

Tree = Callable[[], Mapping[str, FolderNode]]


@dataclass(slots=True)
class View:
    """Hold what one client may see of one snapshot.

    Attributes:
        alone: The records that it may see by themselves.
        placed: The records that it may see in folders, by the shared folder's uid; one that was
            given is there even when it is empty.
    """

    client: Client
    snapshot: Snapshot
    alone: list[Entry] = field(default_factory=list)
    placed: dict[str, list[tuple[Entry, Place]]] = field(default_factory=dict)
    _seen: dict[str, Entry] = field(default_factory=dict)
    _wrapped: dict[tuple[str, str | None], str] = field(default_factory=dict)

    @classmethod
    def of(cls, client: Client, snapshot: Snapshot, tree: Tree) -> View:
        """Select the records; the folder tree is fetched only where a subfolder matters."""
        view = cls(client, snapshot)
        for root in snapshot.root_keys:
            if client.grant.everything or root in client.grant.folders:
                view.placed[root] = []
        for name in client.grant.folders:
            node = None if name in snapshot.root_keys else tree().get(name)
            if node is not None:
                view.placed.setdefault(node.root_uid, [])
        for entry in snapshot.records.values():
            places = [place for place in entry.places if view.covers(place, tree)]
            for place in places:
                view.placed.setdefault(place.root_uid, []).append((entry, place))
            if not places and client.grant.covers_record(entry.uid, entry.title):
                view.alone.append(entry)
            elif not places:
                continue
            view._seen[entry.uid] = entry
        return view

    def covers(self, place: Place, tree: Tree) -> bool:
        """Tell whether the client may see what is in this folder."""
        grant = self.client.grant
        if grant.everything or place.root_uid in grant.folders:
            return True
        if place.inner_uid is None or not grant.folders:
            return False
        if place.inner_uid in grant.folders:
            return True
        return covers_folder(self.client, place.inner_uid, tree())

    def find(self, record_uid: str) -> Entry | None:
        """Return the record of this uid if the client may see it."""
        return self._seen.get(record_uid)

    def record(
        self, entry: Entry, place: Place | None, addresses: FileAddresses, *, links: bool
    ) -> dict[str, Any]:
        """Return a record of the answer; its key is under the client's key, its contents stay."""
        raw, client = entry.raw, self.client
        editable = bool(raw.get("isEditable", True)) and not client.grant.read_only
        record: dict[str, Any] = {
            "recordUid": entry.uid,
            "recordKey": self._record_key(entry, place),
            "data": raw.get("data"),
            "revision": raw.get("revision"),
            "isEditable": editable,
            "innerFolderUid": place.inner_uid if place else None,
            "files": [
                {
                    "fileUid": file.get("fileUid"),
                    "fileKey": file.get("fileKey"),
                    "data": file.get("data"),
                    "url": addresses.download_url(str(file.get("fileUid")), client.client_id),
                    "thumbnailUrl": None,
                }
                for file in list_of_objects(raw.get("files"))
            ],
        }
        if place is not None:
            record["folderUid"] = place.root_uid
        if links:
            record["links"] = raw.get("links") or []
        return record

    def _record_key(self, entry: Entry, place: Place | None) -> str:
        root = place.root_uid if place else None
        found = self._wrapped.get((entry.uid, root))
        if found is None:
            parent = self.client.app_key if root is None else self.client.folder_key(root)
            found = to_base64(gcm_seal(parent, entry.key))
            self._wrapped[entry.uid, root] = found
        return found


def read_secrets(view: View, payload: Payload, addresses: FileAddresses) -> dict[str, Any]:
    """Return the answer of get_secret, whole or by uid."""
    records = frozenset(uids(payload, "requestedRecords"))
    folders = frozenset(uids(payload, "requestedFolders"))
    links = bool(payload.get("requestLinks"))
    client, snapshot, whole = view.client, view.snapshot, not records and not folders
    answer: dict[str, Any] = {
        "appData": to_base64(gcm_seal(client.app_key, snapshot.app_data)),
        "records": [
            view.record(entry, None, addresses, links=links)
            for entry in view.alone
            if whole or entry.uid in records
        ],
        "folders": [],
        "warnings": _warnings(snapshot),
    }
    key = GcmKey(client.app_key)
    for root, placed in view.placed.items():
        found = [
            view.record(entry, place, addresses, links=links)
            for entry, place in placed
            if whole
            or entry.uid in records
            or place.root_uid in folders
            or place.inner_uid in folders
        ]
        if whole or found:
            folder_key = to_base64(key.seal(client.folder_key(root)))
            answer["folders"].append({"folderUid": root, "folderKey": folder_key, "records": found})
    ends = [when for when in (client.access_expires_at, snapshot.expires_on) if when is not None]
    if ends:
        answer["expiresOn"] = min(ends)
    return answer


def record_uids(answer: Mapping[str, Any]) -> list[str]:
    """Return the uids of the records in an answer, each once."""
    listed = [*answer["records"], *(r for f in answer["folders"] for r in f["records"])]
    return list(dict.fromkeys(record["recordUid"] for record in listed))


def read_folders(client: Client, tree: Mapping[str, FolderNode]) -> dict[str, Any]:
    """Return the answer of get_folders: the client's folders, those below, and their roots."""
    covered = [node for node in tree.values() if covers_folder(client, node.uid, tree)]
    shown = {node.uid for node in covered} | {node.root_uid for node in covered}
    folders = [_folder(client, node, shown) for node in tree.values() if node.uid in shown]
    return {"folders": folders}


def covers_folder(client: Client, folder_uid: str, tree: Mapping[str, FolderNode]) -> bool:
    """Tell whether the folder, or one above it, was given to the client."""
    if client.grant.everything:
        return folder_uid in tree
    node = tree.get(folder_uid)
    while node is not None:
        if node.uid in client.grant.folders:
            return True
        node = None if node.parent_uid is None else tree.get(node.parent_uid)
    return False


def _folder(client: Client, node: FolderNode, shown: set[str]) -> dict[str, Any]:
    key = client.folder_key(node.uid)
    # Between a given subfolder and its root may be folders that were not given.
    parent = node.parent_uid if node.parent_uid in shown else node.root_uid
    if node.parent_uid is None:
        wrapped = gcm_seal(client.app_key, key)
    else:
        wrapped = cbc_seal(client.folder_key(node.root_uid), key)
    return {
        "folderUid": node.uid,
        "folderKey": to_base64(wrapped),
        "parent": None if node.parent_uid is None else parent,
        "data": to_base64(cbc_seal(key, node.name_json)),
    }


def _warnings(snapshot: Snapshot) -> list[str]:
    if snapshot.offline_since is None:
        return []
    age = time.time() - snapshot.offline_since.timestamp()
    return [f"Keeper is unreachable; these records are {age:.0f} seconds old"]
