"""The names of a Cloud KMS key: ``projects/P/locations/L/keyRings/R/cryptoKeys/K``, and a version.

Source: Cloud KMS documentation, "Getting a Cloud KMS resource ID".
"""

from __future__ import annotations

from ksm_storage import plugin as kit

# Source: the reference of CryptoKeyVersionAlgorithm.
SYMMETRIC_ALGORITHM = "GOOGLE_SYMMETRIC_ENCRYPTION"

NAMES = kit.KeyNames(
    r"(?P<key>projects/(?P<project>[a-z0-9][a-z0-9.:-]*)/locations/(?P<location>[a-z][a-z0-9-]*)"
    r"/keyRings/(?P<ring>[A-Za-z0-9_-]{1,63})/cryptoKeys/(?P<name>[A-Za-z0-9_-]{1,63}))"
    r"(?:/cryptoKeyVersions/(?P<version>[1-9][0-9]{0,9}))?",
    noun="Cloud KMS key",
    hint="write projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, and "
    "/cryptoKeyVersions/N for one version",
    separator="/cryptoKeyVersions/",
)


def newest_version(key_id: str, algorithm: str) -> str | None:
    """Return the name of the key of a version, or None where only a version can wrap."""
    # Only symmetric keys have a primary version; other keys wrap by the name of a version alone.
    return NAMES.newest_version(key_id) if algorithm == SYMMETRIC_ALGORITHM else None
