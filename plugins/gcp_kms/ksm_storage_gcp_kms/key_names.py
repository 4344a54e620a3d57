"""The names of a Cloud KMS key: ``projects/P/locations/L/keyRings/R/cryptoKeys/K``, and a version.

Source: Cloud KMS documentation, "Getting a Cloud KMS resource ID".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ksm_storage.plugin import SettingsError

# Source: the reference of CryptoKeyVersionAlgorithm.
SYMMETRIC = "GOOGLE_SYMMETRIC_ENCRYPTION"

_NAME = re.compile(
    r"(projects/[a-z0-9][a-z0-9.:-]*/locations/[a-z][a-z0-9-]*"
    r"/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63})"
    r"(?:/cryptoKeyVersions/([1-9][0-9]{0,9}))?"
)


class KeyName(NamedTuple):
    """Name one key, or one version of it.

    Attributes:
        key: The resource name of the CryptoKey.
        version: The number of a version, or None where any will do.
    """

    key: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read the resource name of a key or of a key version.

        Raises:
            SettingsError: The text has no such form.
        """
        name = _parsed(text)
        if name is None:
            raise SettingsError(
                f"{text!r} does not name a Cloud KMS key",
                hint="write projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, "
                "with /cryptoKeyVersions/N for one version",
            )
        return name

    def covers(self, key: KeyName) -> bool:
        """Tell whether this name may stand for a recorded version."""
        if key.version is None or self.key != key.key:
            return False
        return self.version in (None, key.version)

    def __str__(self) -> str:
        if self.version is None:
            return self.key
        return f"{self.key}/cryptoKeyVersions/{self.version}"


def covers(trusted: str, key_id: str) -> bool:
    """Tell whether a trusted name may stand for a recorded version; a malformed one never does."""
    name, key = _parsed(trusted), _parsed(key_id)
    return name is not None and key is not None and name.covers(key)


def newest_version(key_id: str, algorithm: str) -> str | None:
    """Return the name of the key of a version, or None where only a version can wrap."""
    name = _parsed(key_id)
    # Only symmetric keys have a primary version; other keys wrap by the name of a version alone.
    return None if name is None or algorithm != SYMMETRIC else name.key


def is_name(text: str) -> bool:
    """Tell whether the text is the resource name of a key or of a key version."""
    return _parsed(text) is not None


def _parsed(text: str) -> KeyName | None:
    match = _NAME.fullmatch(text)
    return None if match is None else KeyName(match[1], match[2])
