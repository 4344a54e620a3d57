"""All that a plugin author imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .contract.aad import Aad
from .contract.hookspecs import hookimpl
from .contract.key_wrapper import DEK_BYTES, KeyWrapper, ReadsOfficialFormat, WrappedDek
from .contract.settings import Option, Settings
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
from .plugin_kit.exception_chain import chain_of
from .plugin_kit.quiet_logs import quiet_logs

if TYPE_CHECKING:
    from .contract.abilities import (
        DescribesKey,
        KeyDescription,
        KeyState,
        Need,
        PermissionProbe,
        ProbesPermissions,
    )
    from .contract.redaction import shown_path
    from .gc_pause import gc_pause
    from .plugin_kit.endpoint import refuse_clear_text

__all__ = [
    "DEK_BYTES",
    "Aad",
    "AuthenticationError",
    "DecryptionError",
    "DescribesKey",
    "KeyDescription",
    "KeyNotFoundError",
    "KeyState",
    "KeyStateError",
    "KeyWrapper",
    "KsmStorageError",
    "Need",
    "Option",
    "PermissionDeniedError",
    "PermissionProbe",
    "ProbesPermissions",
    "ProviderError",
    "ReadsOfficialFormat",
    "Settings",
    "SettingsError",
    "ThrottledError",
    "UnavailableError",
    "WrappedDek",
    "chain_of",
    "gc_pause",
    "hookimpl",
    "quiet_logs",
    "refuse_clear_text",
    "shown_path",
]

_ABILITIES = frozenset(
    {
        "DescribesKey",
        "KeyDescription",
        "KeyState",
        "Need",
        "PermissionProbe",
        "ProbesPermissions",
    }
)


def __getattr__(name: str) -> object:
    # Resolved at first use: no opening needs an ability, nor a local key an address or an SDK, and
    # each start would pay for them.
    if name in _ABILITIES:
        from .contract import abilities

        return getattr(abilities, name)
    if name == "gc_pause":
        from .gc_pause import gc_pause

        return gc_pause
    if name == "refuse_clear_text":
        from .plugin_kit.endpoint import refuse_clear_text

        return refuse_clear_text
    if name == "shown_path":
        from .contract.redaction import shown_path

        return shown_path
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
