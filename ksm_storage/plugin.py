"""All that a plugin author imports."""

from __future__ import annotations

from .aad import Aad
from .errors import (
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from .hookspecs import hookimpl
from .key_wrapper import DEK_BYTES, KeyWrapper, ReadsOfficialFormat, WrappedDek
from .quiet_logs import quiet_logs
from .settings import Option, Settings

__all__ = [
    "DEK_BYTES",
    "Aad",
    "AuthenticationError",
    "DecryptionError",
    "KeyNotFoundError",
    "KeyStateError",
    "KeyWrapper",
    "KsmStorageError",
    "Option",
    "PermissionDeniedError",
    "ProviderError",
    "ReadsOfficialFormat",
    "Settings",
    "SettingsError",
    "ThrottledError",
    "UnavailableError",
    "WrappedDek",
    "hookimpl",
    "quiet_logs",
]
