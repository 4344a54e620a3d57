"""The names of a key: its OCID, and behind it the OCID of a version.

``ocid1.key.REALM.REGION.VAULT.UNIQUE[/ocid1.keyversion.REALM.REGION.VAULT.UNIQUE]``. REGION is a
region's short name (``iad``) or its identifier (``ap-seoul-1``): OCIDs of both kinds exist.
Source: OCI documentation, "Resource Identifiers".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ksm_storage.plugin import SettingsError

# "OCIDs ... maximum length of 255 characters" in the API reference of every service.
MAX_OCID = 255

_PLACE = r"(?P<realm>[a-z0-9]+)\.(?P<region>[a-z0-9-]+)\.(?P<vault>[a-z0-9]+)"
_KEY = rf"(?P<key>ocid1\.key\.{_PLACE}\.[a-z0-9]+)"
_VERSION = r"(?P<version>ocid1\.keyversion\.[a-z0-9]+\.[a-z0-9-]+\.[a-z0-9]+\.[a-z0-9]+)"
_NAME = re.compile(rf"{_KEY}(?:/{_VERSION})?")


class KeyName(NamedTuple):
    """Name one key, or one version of it.

    Attributes:
        ocid: The key's OCID.
        realm, region, vault: What it says about where the key is.
        version: The version's OCID, or None for the current one.
    """

    ocid: str
    realm: str
    region: str
    vault: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read the OCID of a key.

        Raises:
            SettingsError: The text has no such form.
        """
        name = _parsed(text)
        if name is None:
            raise SettingsError(
                f"{text!r} does not name a key in an OCI vault",
                hint="write the key's OCID, ocid1.key.oc1.REGION.VAULT.UNIQUE, and behind it "
                "/ocid1.keyversion... to pin a version; the vault's own OCID is another",
            )
        return name

    def covers(self, key: KeyName) -> bool:
        """Tell whether this name may stand for a recorded key."""
        return self.ocid == key.ocid and self.version in (None, key.version)

    def with_version(self, version: str | None) -> KeyName:
        """Return the name of a version of the key, as the service gave it.

        Raises:
            SettingsError: It is no OCID of a version.
        """
        return KeyName.parse(f"{self.ocid}/{version}") if version else self

    def __str__(self) -> str:
        return f"{self.ocid}/{self.version}" if self.version else self.ocid


def recognised(text: str) -> str | None:
    """Return the key id of a key's OCID, or None for any other text."""
    return text if _parsed(text) is not None else None


def covers(trusted: str, key_id: str) -> bool:
    """Tell whether a trusted name may stand for a recorded one; junk never does."""
    name, key = _parsed(trusted), _parsed(key_id)
    return name is not None and key is not None and name.covers(key)


def newest_version(key_id: str) -> str | None:
    """Return the name of the key of a version, or None for junk."""
    name = _parsed(key_id)
    return None if name is None else name.ocid


def _parsed(text: str) -> KeyName | None:
    match = _NAME.fullmatch(text)
    if match is None or any(len(ocid) > MAX_OCID for ocid in text.split("/")):
        return None
    return KeyName(match["key"], match["realm"], match["region"], match["vault"], match["version"])
