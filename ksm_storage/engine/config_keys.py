"""The names under which a client configuration keeps its values."""

from __future__ import annotations

import sys
from enum import StrEnum


class ConfigKey(StrEnum):
    """Name one value of the configuration; a member equals its JSON name."""

    HOSTNAME = "hostname"
    CLIENT_ID = "clientId"
    CLIENT_KEY = "clientKey"
    PRIVATE_KEY = "privateKey"
    APP_KEY = "appKey"
    APP_OWNER_PUBLIC_KEY = "appOwnerPublicKey"
    SERVER_PUBLIC_KEY_ID = "serverPublicKeyId"
    SERVER_PUBLIC_KEY = "serverPublicKey"


_OFFICIAL_PACKAGES = "keeper_secrets_manager_"
_OFFICIAL_KEYS = "keeper_secrets_manager_core.configkeys"


def key_for(storage: object, key: ConfigKey) -> object:
    """Return the key in the form that this storage looks up.

    A member of :class:`ConfigKey` is a string with a ``value``, which suits storages keyed by
    strings and storages that ask for ``key.value``. The official in-memory storage is keyed by
    the members of the official enum, and no object can have the hash of such a member and of
    its string at once. So a storage that inherits from an official class is given the official
    member: the class proves that the official module is loaded, and nothing is imported here.
    """
    if not any(kind.__module__.startswith(_OFFICIAL_PACKAGES) for kind in type(storage).__mro__):
        return key
    official = sys.modules.get(_OFFICIAL_KEYS)
    return key if official is None else official.ConfigKeys(key.value)
