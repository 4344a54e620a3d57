"""Names of the emulated tenancy: OCIDs, which hold the realm, the region and the vault.

https://docs.oracle.com/en-us/iaas/Content/General/Concepts/identifiers.htm
"""

from __future__ import annotations

import secrets

REALM = "oc1"
# Both forms are in use: older regions have the short name in their OCIDs, newer ones the long.
REGION = "iad"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def new_ocid(kind: str, *, vault: str | None = None) -> str:
    """Return a fresh OCID; that of a key or a version holds its vault's short name."""
    if vault is not None:
        return f"ocid1.{kind}.{REALM}.{REGION}.{vault}.{_unique(56)}"
    return f"ocid1.{kind}.{REALM}..{_unique(60)}"


def new_vault() -> str:
    """Return the short name of a vault, which begins its endpoints' host names."""
    return _unique(13)


def _unique(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
