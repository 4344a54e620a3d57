"""A client of Keeper Secrets Manager over any key-value storage.

Names are those of the official package, so that changing over is one import.
"""

from __future__ import annotations

from .errors import (
    AccessExpiredError,
    AddressLockedError,
    BadSignatureError,
    ClientRevokedError,
    ClientUnknownError,
    ClientVersionError,
    NotationError,
    SecretNotFoundError,
    ServerAnswerError,
    ServerRefusedError,
    ServerThrottledError,
    ServerUnreachableError,
    StaleRevisionError,
    TokenExpiredError,
    TokenRedeemedError,
)
from .file_upload import KeeperFileUpload
from .folder import Folder, KeeperFolder
from .keeper_file import KeeperFile
from .memory_config import MemoryConfig
from .options import CreateOptions, QueryOptions, UpdateOptions
from .patience import Patience
from .record import Record
from .record_create import RecordCreate, RecordField
from .record_link import KeeperRecordLink
from .record_list import RecordList
from .secrets_answer import SecretsManagerResponse
from .secrets_manager import SecretsManager
from .totp import TotpCode, get_totp_code
from .transmission import KSMHttpResponse

__all__ = [
    "AccessExpiredError",
    "AddressLockedError",
    "BadSignatureError",
    "ClientRevokedError",
    "ClientUnknownError",
    "ClientVersionError",
    "CreateOptions",
    "Folder",
    "KSMHttpResponse",
    "KeeperFile",
    "KeeperFileUpload",
    "KeeperFolder",
    "KeeperRecordLink",
    "MemoryConfig",
    "NotationError",
    "Patience",
    "QueryOptions",
    "Record",
    "RecordCreate",
    "RecordField",
    "RecordList",
    "SecretNotFoundError",
    "SecretsManager",
    "SecretsManagerResponse",
    "ServerAnswerError",
    "ServerRefusedError",
    "ServerThrottledError",
    "ServerUnreachableError",
    "StaleRevisionError",
    "TokenExpiredError",
    "TokenRedeemedError",
    "TotpCode",
    "UpdateOptions",
    "get_totp_code",
]
