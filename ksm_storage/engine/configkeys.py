"""The names under which a client configuration keeps its values."""

from __future__ import annotations

from enum import StrEnum


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


class DeviceKeyFields(StrEnum):
    """Name the fields that replace a private key which is in a key service.

    The official package knows neither of them.
    """

    KEY_NAME = "deviceKey"
    PUBLIC_KEY = "devicePublicKey"
