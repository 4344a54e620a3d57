"""The names of the fields of a Keeper configuration, and which of them are secret."""

from __future__ import annotations

# The official command line writes these names in lower case into keeper.ini.
FIELDS = (
    "hostname",
    "clientId",
    "clientKey",
    "privateKey",
    "deviceKey",
    "devicePublicKey",
    "appKey",
    "appOwnerPublicKey",
    "serverPublicKeyId",
    "serverPublicKey",
    "url",
    "bat",
    "bindingKey",
)

_PUBLIC = frozenset(
    {
        "hostname",
        "deviceKey",
        "devicePublicKey",
        "appOwnerPublicKey",
        "serverPublicKeyId",
        "serverPublicKey",
        "url",
    }
)
_BY_INI_NAME = {name.lower(): name for name in FIELDS}


def is_secret(field: str) -> bool:
    """Tell whether a field's value is secret; so is every field not listed here."""
    return field not in _PUBLIC


def from_ini_name(name: str) -> str:
    """Return the SDK's name of a field of ``keeper.ini``; an unknown name is itself."""
    return _BY_INI_NAME.get(name.lower(), name)


def to_ini_name(field: str) -> str:
    """Return the name of a field in ``keeper.ini``."""
    return field.lower() if field in FIELDS else field
