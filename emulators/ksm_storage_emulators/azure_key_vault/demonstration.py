"""What the command line starts: an administrator, a vault and a managed HSM with a key each."""

from __future__ import annotations

from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService


def create_service() -> AzureKeyVaultService:
    """Return a service with an RSA key `demo` in the vault, and an AES key `demo` in the HSM."""
    service = AzureKeyVaultService()
    service.create_key("demo")
    service.create_key("demo", vault=service.add_managed_hsm("demo"), kty="oct-HSM")
    return service
