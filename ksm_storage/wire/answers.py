"""The JSON of each answer, by field name."""

from __future__ import annotations

from typing import TypedDict


class FileAnswer(TypedDict, total=False):
    """A file of a record: its key under the record key, its description under its own key."""

    fileUid: str
    fileKey: str
    data: str
    url: str
    thumbnailUrl: str | None


class LinkAnswer(TypedDict, total=False):
    """A link from one record to another, or to settings of its own."""

    recordUid: str
    data: str | None
    path: str | None


class RecordAnswer(TypedDict, total=False):
    """A record; without ``recordKey`` the application key is the record key."""

    recordUid: str
    recordKey: str | None
    data: str
    revision: int
    isEditable: bool
    folderUid: str
    innerFolderUid: str | None
    files: list[FileAnswer] | None
    links: list[LinkAnswer] | None


class SharedFolderAnswer(TypedDict, total=False):
    """A shared folder with its records, whose keys are under the folder key."""

    folderUid: str
    folderKey: str
    parentUid: str
    name: str
    records: list[RecordAnswer]


class SecretsAnswer(TypedDict, total=False):
    """get_secret; ``encryptedAppKey`` and ``appOwnerPublicKey`` only while binding."""

    encryptedAppKey: str
    appOwnerPublicKey: str
    appData: str
    expiresOn: int
    warnings: list[str]
    records: list[RecordAnswer]
    folders: list[SharedFolderAnswer]


class FolderAnswer(TypedDict, total=False):
    """One folder of get_folders; a root has no ``parent`` and its key is AES-GCM."""

    folderUid: str
    folderKey: str
    parent: str | None
    data: str


class FoldersAnswer(TypedDict, total=False):
    """get_folders."""

    folders: list[FolderAnswer]


class DeletedRecordAnswer(TypedDict, total=False):
    """What became of one record: ``responseCode`` is ``ok`` or says why not."""

    recordUid: str
    responseCode: str
    errorMessage: str


class DeleteAnswer(TypedDict, total=False):
    """delete_secret."""

    records: list[DeletedRecordAnswer]


class DeletedFolderAnswer(TypedDict, total=False):
    """What became of one folder: ``responseCode`` is ``ok`` or says why not."""

    folderUid: str
    responseCode: str
    errorMessage: str


class DeleteFolderAnswer(TypedDict, total=False):
    """delete_folder."""

    folders: list[DeletedFolderAnswer]


class AddFileAnswer(TypedDict, total=False):
    """add_file: where to post the encrypted file; ``parameters`` is JSON in a string."""

    url: str
    parameters: str
    successStatusCode: int


class ErrorAnswer(TypedDict, total=False):
    """Every answer that is not 200; ``result_code`` wins over ``error``."""

    result_code: str
    error: str
    message: str
    additional_info: str
    key_id: str | int | None
    retry_after: float | None
