"""One authenticated request, with what every operation does first."""

from __future__ import annotations

from dataclasses import dataclass

from ksm_storage_emulators.oci_vault.arguments import Arguments
from ksm_storage_emulators.oci_vault.errors import OciError, hidden
from ksm_storage_emulators.oci_vault.identities import Principal
from ksm_storage_emulators.oci_vault.keys import DELETED, ENABLED, Key, KeyVersion, Vault
from ksm_storage_emulators.service import Call


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation works with. The vault's lock is held while it runs."""

    call: Call
    caller: Principal
    arguments: Arguments
    vault: Vault
    path: tuple[str, ...]
    now: float

    def key(self, ocid: str, permission: str) -> Key:
        """Return the key, the caller being allowed.

        Raises:
            OciError: NotAuthorizedOrNotFound, which does not tell the two apart.
        """
        key = self.vault.find(ocid)
        if key is None or key.state == DELETED or not self.caller.may(permission, ocid):
            raise hidden()
        return key


def require_enabled(key: Key, version: KeyVersion) -> None:
    """Raise unless the key and the version may be used (assumed: see `errors`)."""
    if version.state == DELETED:
        raise hidden()
    for state in (key.state, version.state):
        if state != ENABLED:
            raise OciError("IncorrectState", f"The key is in state {state}.")
