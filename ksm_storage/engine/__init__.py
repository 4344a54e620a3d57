"""A client of Keeper Secrets Manager over any key-value storage.

Names and module names are those of the official package: replace ``keeper_secrets_manager_core``
with ``ksm_storage.engine`` in a program's imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answer import AppData, SecretsManagerResponse
from .backoff import BackoffPolicy
from .configkeys import ConfigKeys
from .core import KSMCache, SecretsManager
from .dto.payload import (
    CreateOptions,
    KSMHttpResponse,
    QueryOptions,
    UpdateOptions,
)
from .folder import Folder, KeeperFolder
from .keeper_file import KeeperFile, KeeperFileUpload
from .record import Record
from .record_create import RecordCreate, RecordField
from .record_link import KeeperRecordLink
from .record_list import RecordList
from .storage import FileKeyValueStorage, InMemoryKeyValueStorage, KeyValueStorage
from .utils import TotpCode, generate_password, get_totp_code

if TYPE_CHECKING:
    from .errors import (
        AccessExpiredError,
        AddressLockedError,
        BadSignatureError,
        ClientRevokedError,
        ClientSettingsError,
        ClientUnknownError,
        ClientVersionError,
        DeletionRefusedError,
        NotationError,
        SecretNotFoundError,
        ServerAnswerError,
        ServerFailedError,
        ServerRefusedError,
        ServerThrottledError,
        ServerUnreachableError,
        StaleRevisionError,
        TokenExpiredError,
        TokenRedeemedError,
        UnexpectedStatusError,
    )
    from .exceptions import KeeperAccessDenied, KeeperError, KeeperThrottleError


def __getattr__(name: str) -> object:
    # Loading the error classes imports the official package where it is installed.
    if name.endswith("Error") or name == "KeeperAccessDenied":
        from . import errors, exceptions

        for module in (exceptions, errors):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AccessExpiredError",
    "AddressLockedError",
    "AppData",
    "BackoffPolicy",
    "BadSignatureError",
    "ClientRevokedError",
    "ClientSettingsError",
    "ClientUnknownError",
    "ClientVersionError",
    "ConfigKeys",
    "CreateOptions",
    "DeletionRefusedError",
    "FileKeyValueStorage",
    "Folder",
    "InMemoryKeyValueStorage",
    "KSMCache",
    "KSMHttpResponse",
    "KeeperAccessDenied",
    "KeeperError",
    "KeeperFile",
    "KeeperFileUpload",
    "KeeperFolder",
    "KeeperRecordLink",
    "KeeperThrottleError",
    "KeyValueStorage",
    "NotationError",
    "QueryOptions",
    "Record",
    "RecordCreate",
    "RecordField",
    "RecordList",
    "SecretNotFoundError",
    "SecretsManager",
    "SecretsManagerResponse",
    "ServerAnswerError",
    "ServerFailedError",
    "ServerRefusedError",
    "ServerThrottledError",
    "ServerUnreachableError",
    "StaleRevisionError",
    "TokenExpiredError",
    "TokenRedeemedError",
    "TotpCode",
    "UnexpectedStatusError",
    "UpdateOptions",
    "generate_password",
    "get_totp_code",
]
