"""The names under which a client configuration keeps its values."""

from __future__ import annotations

import sys
from enum import Enum, StrEnum


class ConfigKeys(StrEnum):
    """Name one value of the configuration; members are those of the official package.

    A member equals its JSON name.
    """

    KEY_URL = "url"
    KEY_CLIENT_ID = "clientId"
    KEY_CLIENT_KEY = "clientKey"
    KEY_APP_KEY = "appKey"
    KEY_OWNER_PUBLIC_KEY = "appOwnerPublicKey"
    KEY_PRIVATE_KEY = "privateKey"
    KEY_SERVER_PUBLIC_KEY_ID = "serverPublicKeyId"
    KEY_SERVER_PUBLIC_KEY = "serverPublicKey"
    KEY_BINDING_TOKEN = "bat"  # noqa: S105 - a name, not a token
    KEY_BINDING_KEY = "bindingKey"
    KEY_HOSTNAME = "hostname"

    @classmethod
    def get_enum(cls, value: object) -> ConfigKeys | None:
        """Return the member with this name or value, or None."""
        return next((member for member in cls if value in (member, member.value)), None)


_OFFICIAL_PACKAGES = "keeper_secrets_manager_"
_OFFICIAL_KEYS = "keeper_secrets_manager_core.configkeys"


def name_of(key: object) -> str:
    """Return the JSON name of a key: a plain string, or a member of either enum."""
    return str(key.value) if isinstance(key, Enum) else str(key)


def key_for(storage: object, key: ConfigKeys) -> object:
    """Return the key in the form that this storage looks up.

    A member of :class:`ConfigKeys` is a string with a ``value``, which suits storages keyed by
    strings and storages that ask for ``key.value``. The official in-memory storage is keyed by
    the members of the official enum, and no object can have the hash of such a member and of
    its string at once. So a storage that inherits from an official class gets the official
    member: the class proves that the official module is loaded, and nothing is imported here.
    """
    if not any(kind.__module__.startswith(_OFFICIAL_PACKAGES) for kind in type(storage).__mro__):
        return key
    official = sys.modules.get(_OFFICIAL_KEYS)
    return key if official is None else official.ConfigKeys(key.value)
