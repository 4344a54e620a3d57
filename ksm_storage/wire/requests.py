"""The JSON of each request, by field name; an unset field is absent or null."""

from __future__ import annotations

from typing import Literal, TypedDict


class ClientPart(TypedDict):
    """What every request carries."""

    clientVersion: str
    clientId: str


class GetRequest(ClientPart, total=False):
    """get_secret and get_folders; ``publicKey`` (base64 of the point) only while binding."""

    publicKey: str | None
    requestedRecords: list[str] | None
    requestedFolders: list[str] | None
    requestLinks: bool | None


class CreateRequest(ClientPart, total=False):
    """create_secret; ``folderKey`` is the record key under the folder key."""

    recordUid: str
    recordKey: str
    folderUid: str
    folderKey: str
    data: str
    subFolderUid: str | None


class UpdateRequest(ClientPart, total=False):
    """update_secret; ``revision`` is the one that the client has read."""

    recordUid: str
    data: str
    revision: int | None
    transactionType: Literal["general", "rotation"] | None
    links2Remove: list[str] | None


class CompleteTransactionRequest(ClientPart):
    """finalize_secret_update and rollback_secret_update."""

    recordUid: str


class DeleteRequest(ClientPart):
    """delete_secret."""

    recordUids: list[str]


class CreateFolderRequest(ClientPart, total=False):
    """create_folder; ``sharedFolderKey`` is the new key under the shared folder's, AES-CBC."""

    folderUid: str
    sharedFolderUid: str
    sharedFolderKey: str
    data: str
    parentUid: str | None


class UpdateFolderRequest(ClientPart):
    """update_folder; ``data`` is AES-CBC of ``{"name": ...}`` under the folder key."""

    folderUid: str
    data: str


class DeleteFolderRequest(ClientPart):
    """delete_folder."""

    folderUids: list[str]
    forceDeletion: bool


class AddFileRequest(ClientPart, total=False):
    """add_file; ``fileSize`` counts the encrypted bytes that will be posted."""

    fileRecordUid: str
    fileRecordKey: str
    fileRecordData: str
    ownerRecordUid: str
    ownerRecordData: str
    ownerRecordRevision: int | None
    linkKey: str
    fileSize: int
