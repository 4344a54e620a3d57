"""Records, folders, files and responses, where programs for the official package import them."""

from __future__ import annotations

from ..answer import AppData, SecretsManagerResponse
from ..folder import Folder, KeeperFolder
from ..keeper_file import KeeperFile, KeeperFileUpload
from ..record import Record
from ..record_create import RecordCreate, RecordField
from ..record_link import KeeperRecordLink

__all__ = [
    "AppData",
    "Folder",
    "KeeperFile",
    "KeeperFileUpload",
    "KeeperFolder",
    "KeeperRecordLink",
    "Record",
    "RecordCreate",
    "RecordField",
    "SecretsManagerResponse",
]
