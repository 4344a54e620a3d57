"""What the command line starts: an administrator and one key of each kind."""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage_emulators.oci_vault.keys import RSA
from ksm_storage_emulators.oci_vault.service import OciVaultService
from ksm_storage_emulators.service import Address


class DemonstrationService(OciVaultService):
    """A vault whose environment also tells the names of its keys."""

    def __init__(self) -> None:
        """Create an AES-256 and an RSA-2048 key."""
        super().__init__()
        self._keys = {"OCI_VAULT_KEY": self.create_key()}
        self._keys["OCI_VAULT_RSA_KEY"] = self.create_key(algorithm=RSA)

    def environment(self, address: Address) -> Mapping[str, str]:
        """Add the OCIDs of the keys, which nobody can choose."""
        names = {variable: key.ocid for variable, key in self._keys.items()}
        return {**super().environment(address), **names}


def create_service() -> OciVaultService:
    """Return the vault."""
    return DemonstrationService()
