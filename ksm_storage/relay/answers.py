"""What a client is answered: its records, with every key encrypted anew for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
Placed = tuple[Entry, Place]
# By record, place and whether it may be changed: the record's key, and the client's part of its
# JSON, in which that key is encrypted.
_Parts = dict[tuple[str, Place | None, bool], tuple[bytes, str]]


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
    placed: dict[str, list[Placed]] = field(default_factory=dict)
    _seen: dict[str, tuple[Entry, Sequence[Place]]] = field(default_factory=dict)
    _parts: _Parts = field(default_factory=dict)
    _parts_before: _Parts = field(default_factory=dict)

    @classmethod
    def of(cls, client: Client, snapshot: Snapshot, tree: Tree, before: View | None) -> View:
        """Select the records; the folder tree is fetched only where a subfolder matters.

        What was encrypted for the client's view ``before`` is reused where it has not changed.
        """
        view = cls(client, snapshot)
        if before is not None and before.client.grant == client.grant:
            view._parts_before = before._parts
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
            if not places:
                if not client.grant.covers_record(entry.uid, entry.title):
                    continue
                view.alone.append(entry)
            view._seen[entry.uid] = (entry, places)
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
        return self._seen.get(record_uid, (None, ()))[0]

    def selected(
        self, records: Sequence[str], folders: Sequence[str]
    ) -> tuple[Iterable[Entry], Mapping[str, Sequence[Placed]]]:
        """Return the records that are asked for: alone, and by the shared folder's uid."""
        if not records and not folders:
            return self.alone, self.placed
        chosen = dict.fromkeys(uid for uid in records if uid in self._seen)
        if folders:
            for root, listed in self.placed.items():
                chosen |= {
                    entry.uid: None
                    for entry, place in listed
                    if root in folders or place.inner_uid in folders
                }
        # Found by uid: a request for one record of many looks at no other.
        alone, placed = [], dict[str, list[Placed]]()
        for entry, places in (self._seen[uid] for uid in chosen):
            if not places:
                alone.append(entry)
            for place in places:
                wanted = entry.uid in records or place.root_uid in folders
                if wanted or place.inner_uid in folders:
                    placed.setdefault(place.root_uid, []).append((entry, place))
        return alone, placed

    def record_json(
        self, entry: Entry, place: Place | None, addresses: FileAddresses, *, links: bool
    ) -> str:
        """Return a record of the answer; its key is under the client's key, its contents stay."""
        files = [
            {
                "fileUid": file.get("fileUid"),
                "fileKey": file.get("fileKey"),
                "data": file.get("data"),
                "url": addresses.download_url(str(file.get("fileUid")), self.client.client_id),
                "thumbnailUrl": None,
            }
            for file in list_of_objects(entry.raw.get("files"))
        ]
        listed = _json(files) if files else "[]"
        return f'{{{entry.shared_json(links=links)},{self._part(entry, place)},"files":{listed}}}'

    def _part(self, entry: Entry, place: Place | None) -> str:
        editable = bool(entry.raw.get("isEditable", True)) and not self.client.grant.read_only
        named = (entry.uid, place, editable)
        found = self._parts.get(named) or self._parts_before.get(named)
        if found is None or found[0] != entry.key:
            found = (entry.key, self._new_part(entry, place, editable=editable))
        self._parts[named] = found
        return found[1]

    def _new_part(self, entry: Entry, place: Place | None, *, editable: bool) -> str:
        client = self.client
        parent = client.app_key if place is None else client.folder_key(place.root_uid)
        part: dict[str, Any] = {
            "recordKey": to_base64(gcm_seal(parent, entry.key)),
            "isEditable": editable,
            "innerFolderUid": place.inner_uid if place else None,
        }
        if place is not None:
            part["folderUid"] = place.root_uid
        return _json(part)[1:-1]


def read_secrets(
    view: View, payload: Payload, addresses: FileAddresses, binding: Mapping[str, str]
) -> tuple[str, list[str]]:
    """Return the answer of get_secret, whole or by uid, and the uids of its records.

    It is put together from parts that are kept: to build and serialise every record again takes
    most of the time of a large answer.
    """
    records, folders = uids(payload, "requestedRecords"), uids(payload, "requestedFolders")
    links = bool(payload.get("requestLinks"))
    client, snapshot = view.client, view.snapshot
    alone, placed = view.selected(records, folders)
    rest: dict[str, Any] = {
        "appData": to_base64(gcm_seal(client.app_key, snapshot.app_data)),
        "warnings": _warnings(snapshot),
        **binding,
    }
    ends = [when for when in (client.access_expires_at, snapshot.expires_on) if when is not None]
    if ends:
        rest["expiresOn"] = min(ends)
    flat = ",".join(view.record_json(entry, None, addresses, links=links) for entry in alone)
    key, listed = GcmKey(client.app_key), []
    for root, found in placed.items():
        inside = ",".join(view.record_json(*each, addresses, links=links) for each in found)
        folder = {"folderUid": root, "folderKey": to_base64(key.seal(client.folder_key(root)))}
        listed.append(f'{_json(folder)[:-1]},"records":[{inside}]}}')
    names = [entry.uid for entry in alone]
    names += [entry.uid for found in placed.values() for entry, _ in found]
    text = f'{_json(rest)[:-1]},"records":[{flat}],"folders":[{",".join(listed)}]}}'
    return text, list(dict.fromkeys(names))


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


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
