"""The services by the name they have on the command line, with keys and callers to try.

Nothing is imported until asked for: each needs the packages of its own extra.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksm_storage_emulators.service import Service


@dataclass(frozen=True, slots=True)
class Entry:
    """Say how a service is made.

    Args:
        create: Returns a ready service with its demonstration keys and caller.
        https: Whether clients insist on HTTPS, so that the command line chooses it by default.
    """

    create: Callable[[], Service]
    https: bool = False


def create_aws_kms() -> Service:
    """Return a service with `alias/demo` (symmetric) and `alias/demo-rsa` (RSA_2048)."""
    from ksm_storage_emulators.aws_kms.service import AwsKmsService

    service = AwsKmsService()
    service.create_key(alias="alias/demo", multi_region=True)
    service.create_key(alias="alias/demo-rsa", key_spec="RSA_2048")
    return service


def create_azure_key_vault() -> Service:
    """Return a service with an RSA key `demo` in the vault, and an AES key `demo` in the HSM."""
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService

    service = AzureKeyVaultService()
    service.create_key("demo")
    service.create_key("demo", vault=service.add_managed_hsm("demo"), kty="oct-HSM")
    return service


def create_gcp_kms() -> Service:
    """Return a service with the keys `demo`, `demo-rsa` and `demo-raw`.

    Its metadata server speaks for the administrator, so that clients need no credentials file.
    """
    from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, GcpKmsService

    service = GcpKmsService()
    service.create_key("demo")
    service.create_key("demo-rsa", algorithm="RSA_DECRYPT_OAEP_2048_SHA256")
    service.create_key("demo-raw", algorithm="AES_256_GCM")
    service.endpoints.instance_account = ADMINISTRATOR
    return service


def create_oci_vault() -> Service:
    """Return a vault with an AES-256 and an RSA-2048 key, named by its environment."""
    from ksm_storage_emulators.oci_vault.keys import RSA
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    service = OciVaultService()
    service.named_keys["OCI_VAULT_KEY"] = service.create_key().ocid
    service.named_keys["OCI_VAULT_RSA_KEY"] = service.create_key(algorithm=RSA).ocid
    return service


SERVICES = {
    "aws-kms": Entry(create_aws_kms),
    "azure-key-vault": Entry(create_azure_key_vault, https=True),
    "gcp-kms": Entry(create_gcp_kms),
    "oci-vault": Entry(create_oci_vault),
}


def create_service(name: str) -> Service:
    """Import a service and create it with its demonstration keys and caller.

    Raises:
        KeyError: No service of that name.
        ImportError: An extra, such as `gcp`, is not installed.
    """
    return SERVICES[name].create()
