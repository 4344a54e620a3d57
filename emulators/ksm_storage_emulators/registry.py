"""The services by the name they have on the command line. Nothing is imported until asked for."""

import importlib
from dataclasses import dataclass
from typing import cast

from ksm_storage_emulators.service import Service


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a service comes from.

    Args:
        factory: `module:callable`; called without arguments it returns a ready `Service` with
            the demonstration key and caller that `environment()` tells about.
        https: Whether clients insist on HTTPS, so that the command line chooses it by default.
    """

    factory: str
    https: bool = False


SERVICES = {
    "aws-kms": Entry("ksm_storage_emulators.aws_kms.demonstration:create_service"),
    "azure-key-vault": Entry(
        "ksm_storage_emulators.azure_key_vault.demonstration:create_service", https=True
    ),
    "gcp-kms": Entry("ksm_storage_emulators.gcp_kms.demonstration:create_service"),
    "oci-vault": Entry("ksm_storage_emulators.oci_vault.demonstration:create_service"),
}


def create_service(name: str) -> Service:
    """Import a service and create it with its demonstration key and caller.

    Raises:
        KeyError: No service of that name.
        ImportError: An extra, such as `gcp`, is not installed.
    """
    module, _, function = SERVICES[name].factory.partition(":")
    factory = getattr(importlib.import_module(module), function)
    # The registry is written by hand and a test creates every entry.
    return cast(Service, factory())
