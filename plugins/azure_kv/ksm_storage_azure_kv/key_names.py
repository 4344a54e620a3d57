"""The names of a key: ``https://VAULT/keys/NAME[/VERSION]``, the scheme being optional."""

from __future__ import annotations

import re
from typing import NamedTuple

from ksm_storage.plugin import SettingsError

HSM_SUFFIXES = (
    "managedhsm.azure.net",
    "managedhsm.azure.cn",
    "managedhsm.usgovcloudapi.net",
)
VAULT_SUFFIXES = (
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUFFIX = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.IGNORECASE)
_URL = re.compile(
    rf"(?:https://)?(?P<host>{_LABEL}(?:\.{_LABEL})+)"
    r"/keys/(?P<name>[0-9A-Za-z-]{1,127})(?:/(?P<version>[0-9a-f]{32}))?",
    re.IGNORECASE,
)


class KeyName(NamedTuple):
    """Name one key, or one version of it.

    Attributes:
        host: The vault's host in lower case, as in ``myvault.vault.azure.net``.
        name: The key's name; the service does not mind its case.
        version: 32 hexadecimal digits in lower case, or None for the newest.
    """

    host: str
    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read the URL of a key.

        Raises:
            SettingsError: The text has no such form.
        """
        name = _parsed(text)
        if name is None:
            raise SettingsError(
                f"{text!r} does not name a key in a vault or managed HSM",
                hint="write https://myvault.vault.azure.net/keys/NAME, and behind it /VERSION to "
                "pin a version (32 hexadecimal digits)",
            )
        return name

    @property
    def is_hsm(self) -> bool:
        """Tell whether the key lies in a managed HSM, as its host says."""
        return self.host.partition(".")[2].startswith("managedhsm.")

    def require_suffix(self, suffix: str | None) -> None:
        """Refuse a host outside Azure, unless the caller's settings name its suffix.

        A key id may come from an envelope, and whoever wrote that must not choose to which
        machine this one sends its DEK and its token.

        Raises:
            SettingsError: The host has another suffix.
        """
        if suffix is not None and not _SUFFIX.fullmatch(suffix):
            raise SettingsError(f"the setting 'dns_suffix' is no DNS name: {suffix!r}")
        own = self.host.partition(".")[2]
        if own in VAULT_SUFFIXES + HSM_SUFFIXES or (suffix and own == suffix.lower()):
            return
        raise SettingsError(
            f"the host {self.host!r} is not one of Azure Key Vault or Managed HSM",
            hint="for another cloud, such as Azure Stack Hub, give what follows the vault's name "
            "in the option 'dns_suffix'",
        )

    def covers(self, key: KeyName) -> bool:
        """Tell whether this name may stand for a version of a key."""
        return (
            key.version is not None
            and (self.host, self.name.lower()) == (key.host, key.name.lower())
            and self.version in (None, key.version)
        )

    def __str__(self) -> str:
        version = f"/{self.version}" if self.version else ""
        return f"https://{self.host}/keys/{self.name}{version}"


def recognised(text: str) -> str | None:
    """Return the key id of a key's full URL in Azure, or None for any other text."""
    name = _parsed(text) if text.lower().startswith("https://") else None
    if name is None or name.host.partition(".")[2] not in VAULT_SUFFIXES + HSM_SUFFIXES:
        return None
    return str(name)


def covers(trusted: str, key_id: str) -> bool:
    """Tell whether a trusted name may stand for a recorded version; junk never does."""
    name, key = _parsed(trusted), _parsed(key_id)
    return name is not None and key is not None and name.covers(key)


def newest_version(key_id: str) -> str | None:
    """Return the name of the key of a version, or None where there is no version."""
    name = _parsed(key_id)
    return None if name is None or name.version is None else str(name._replace(version=None))


def _parsed(text: str) -> KeyName | None:
    match = _URL.fullmatch(text)
    if match is None:
        return None
    version = match["version"]
    return KeyName(match["host"].lower(), match["name"], version.lower() if version else None)
