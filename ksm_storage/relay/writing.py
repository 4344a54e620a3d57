"""Changes by a client: checked against its grant, translated to the real keys, passed on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import DecryptionError
from ..serving.requests import (
    Payload,
    malformed,
    number,
    optional_uid,
    rejected,
    sealed,
    text,
    uid,
    uids,
)
from ..wire import endpoints
from ..wire.aes import KEY_BYTES, cbc_open, cbc_seal, gcm_open, gcm_seal
from ..wire.api_errors import OBJECT_UNKNOWN, READ_ONLY
from ..wire.base64_forms import to_base64
from ..wire.json_objects import list_of_objects, parse_object
from .answers import View, covers_folder
from .grant import Client
from .upstream import Entry, FolderNode, Upstream


class Writer:
    """Make one client's changes.

    A client knows keys of its own only. What it encrypted under one of them is encrypted under
    the real one before it is passed on; the rest of a request is passed on as it is, field by
    field, and nothing that is not named here.
    """

    def __init__(self, view: View, upstream: Upstream) -> None:
        self._view = view
        self._client: Client = view.client
        self._upstream = upstream

    def write(self, path: str, payload: Payload) -> Mapping[str, Any] | None:
        """Return Keeper's answer, or None where the protocol has none.

        Raises:
            RequestRejected: The client may not do this, or Keeper rejected it.
        """
        if self._client.grant.read_only:
            raise rejected(READ_ONLY)
        changes: Mapping[str, Callable[[Payload], bytes | Mapping[str, Any]]] = {
            endpoints.CREATE_SECRET: self._create_record,
            endpoints.UPDATE_SECRET: self._update_record,
            endpoints.FINALIZE_SECRET_UPDATE: lambda _: self._end_update(path, payload),
            endpoints.ROLLBACK_SECRET_UPDATE: lambda _: self._end_update(path, payload),
            endpoints.DELETE_SECRET: self._delete_records,
            endpoints.CREATE_FOLDER: self._create_folder,
            endpoints.UPDATE_FOLDER: self._update_folder,
            endpoints.DELETE_FOLDER: self._delete_folders,
        }
        answer = changes[path](payload)
        if isinstance(answer, bytes):
            return parse_object(answer) if answer else None
        return answer

    def add_file(self, payload: Payload) -> Mapping[str, Any]:
        """Announce a file to Keeper, and return the answer that says where it goes."""
        if self._client.grant.read_only:
            raise rejected(READ_ONLY)
        record = self._record(uid(payload, "ownerRecordUid"))
        answer = self._upstream.pass_on(
            endpoints.ADD_FILE,
            {
                "fileRecordUid": uid(payload, "fileRecordUid"),
                "fileRecordKey": text(payload, "fileRecordKey"),
                "fileRecordData": text(payload, "fileRecordData"),
                "ownerRecordUid": record.uid,
                "ownerRecordData": text(payload, "ownerRecordData"),
                "ownerRecordRevision": payload.get("ownerRecordRevision"),
                "linkKey": text(payload, "linkKey"),
                "fileSize": number(payload, "fileSize"),
            },
        )
        return parse_object(answer)

    def _create_record(self, payload: Payload) -> bytes:
        root = self._folder(uid(payload, "folderUid"), is_container=True)
        inner = optional_uid(payload, "subFolderUid")
        self._folder(inner or root.uid)
        record_key = self._opened(self._client.folder_key(root.uid), payload, "folderKey")
        return self._upstream.pass_on(
            endpoints.CREATE_SECRET,
            {
                "recordUid": uid(payload, "recordUid"),
                "recordKey": text(payload, "recordKey"),
                "folderUid": root.uid,
                "folderKey": to_base64(gcm_seal(root.key, record_key)),
                "data": text(payload, "data"),
                "subFolderUid": inner,
            },
        )

    def _update_record(self, payload: Payload) -> bytes:
        record = self._record(uid(payload, "recordUid"))
        return self._upstream.pass_on(
            endpoints.UPDATE_SECRET,
            {
                "recordUid": record.uid,
                "data": text(payload, "data"),
                "revision": payload.get("revision"),
                "transactionType": payload.get("transactionType"),
                "links2Remove": uids(payload, "links2Remove") or None,
            },
        )

    def _end_update(self, path: str, payload: Payload) -> bytes:
        record = self._record(uid(payload, "recordUid"))
        return self._upstream.pass_on(path, {"recordUid": record.uid})

    def _delete_records(self, payload: Payload) -> Mapping[str, Any]:
        wanted = uids(payload, "recordUids")
        allowed = [name for name in wanted if self._view.find(name) is not None]
        answers = {
            name: {
                "recordUid": name,
                "responseCode": "access_denied",
                "errorMessage": "record is not shared with this client",
            }
            for name in wanted
        }
        if allowed:
            answer = self._upstream.pass_on(endpoints.DELETE_SECRET, {"recordUids": allowed})
            for item in list_of_objects(parse_object(answer).get("records")):
                answers[str(item.get("recordUid"))] = item
        return {"records": list(answers.values())}

    def _create_folder(self, payload: Payload) -> bytes:
        root = self._folder(uid(payload, "sharedFolderUid"), is_container=True)
        parent = self._folder(optional_uid(payload, "parentUid") or root.uid)
        key = self._opened_cbc(self._client.folder_key(root.uid), payload, "sharedFolderKey")
        if len(key) != KEY_BYTES:
            raise malformed("sharedFolderKey is not a key")
        return self._upstream.pass_on(
            endpoints.CREATE_FOLDER,
            {
                "folderUid": uid(payload, "folderUid"),
                "sharedFolderUid": root.uid,
                "sharedFolderKey": to_base64(cbc_seal(root.key, key)),
                "data": text(payload, "data"),
                "parentUid": parent.uid,
            },
        )

    def _update_folder(self, payload: Payload) -> bytes:
        folder = self._folder(uid(payload, "folderUid"))
        name = self._opened_cbc(self._client.folder_key(folder.uid), payload, "data")
        try:
            json.loads(name)
        except ValueError as exc:
            raise malformed("data is not the name of a folder") from exc
        data = to_base64(cbc_seal(folder.key, name))
        return self._upstream.pass_on(
            endpoints.UPDATE_FOLDER, {"folderUid": folder.uid, "data": data}
        )

    def _delete_folders(self, payload: Payload) -> Mapping[str, Any]:
        tree = self._upstream.folders()
        wanted = uids(payload, "folderUids")
        allowed = [name for name in wanted if covers_folder(self._client, name, tree)]
        answers = {
            name: {
                "folderUid": name,
                "responseCode": "access_denied",
                "errorMessage": "folder is not shared with this client",
            }
            for name in wanted
        }
        if allowed:
            request = {
                "folderUids": allowed,
                "forceDeletion": payload.get("forceDeletion") is True,
            }
            answer = self._upstream.pass_on(endpoints.DELETE_FOLDER, request)
            for item in list_of_objects(parse_object(answer).get("folders")):
                answers[str(item.get("folderUid"))] = item
        return {"folders": list(answers.values())}

    def _record(self, record_uid: str) -> Entry:
        entry = self._view.find(record_uid)
        # A record that the client may not see does not exist for it.
        if entry is None:
            raise rejected(OBJECT_UNKNOWN)
        if not entry.raw.get("isEditable", True):
            raise rejected(READ_ONLY)
        return entry

    def _folder(self, folder_uid: str, *, is_container: bool = False) -> FolderNode:
        tree = self._upstream.folders()
        node = tree.get(folder_uid)
        if node is None:
            raise rejected(OBJECT_UNKNOWN)
        # The shared folder around a given subfolder is named in requests, and not changed.
        around = is_container and any(
            tree[name].root_uid == folder_uid for name in self._client.grant.folders if name in tree
        )
        if not around and not covers_folder(self._client, folder_uid, tree):
            raise rejected(OBJECT_UNKNOWN)
        return node

    def _opened(self, key: bytes, payload: Payload, name: str) -> bytes:
        try:
            return gcm_open(key, sealed(payload, name))
        except DecryptionError as exc:
            raise malformed(f"{name} is not encrypted under the folder's key") from exc

    def _opened_cbc(self, key: bytes, payload: Payload, name: str) -> bytes:
        try:
            return cbc_open(key, sealed(payload, name))
        except DecryptionError as exc:
            raise malformed(f"{name} is not encrypted under the folder's key") from exc
