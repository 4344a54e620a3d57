"""Resource names: projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N."""

from __future__ import annotations

import re

from ksm_storage_emulators.gcp_kms.errors import GcpError

_RING = r"projects/[^/]+/locations/[^/]+/keyRings/[A-Za-z0-9_-]{1,63}"
_KEY = rf"{_RING}/cryptoKeys/[A-Za-z0-9_-]{{1,63}}"
_FORMS = {
    "KeyRing": re.compile(_RING),
    "CryptoKey": re.compile(_KEY),
    "CryptoKeyVersion": re.compile(rf"{_KEY}/cryptoKeyVersions/[1-9][0-9]*"),
}


def require(name: str, *kinds: str) -> None:
    """Refuse a name that has none of the forms.

    Raises:
        GcpError: INVALID_ARGUMENT.
    """
    if not any(_FORMS[kind].fullmatch(name) for kind in kinds):
        raise GcpError("malformed name", resource=name)


def is_version(name: str) -> bool:
    """Say whether a name is that of a version."""
    return _FORMS["CryptoKeyVersion"].fullmatch(name) is not None


def key_of(name: str) -> str:
    """Return the name of the key, the version left out."""
    return name.partition("/cryptoKeyVersions/")[0]
