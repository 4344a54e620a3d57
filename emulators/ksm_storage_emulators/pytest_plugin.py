"""Pytest fixtures, by the entry point `pytest11`; loading it imports no service."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.service import Service

if TYPE_CHECKING:
    from ksm_storage_emulators.aws_kms.service import AwsKmsService
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService
    from ksm_storage_emulators.oci_vault.service import OciVaultService

ServiceT = TypeVar("ServiceT", bound=Service)

# Variables by which clients would trust another CA, use a proxy, or find real credentials.
_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "OCI_", "IDENTITY_", "MSI_")
_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class EmulatorStarter:
    """Start emulators that end with the test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        """Stop them when the stack unwinds."""
        self._stack = stack

    def __call__(
        self,
        service: ServiceT,
        *,
        authority: PrivateAuthority | None = None,
        ca_file: Path | None = None,
    ) -> Emulator[ServiceT]:
        """Return a running emulator of the service; the options are those of `Emulator`."""
        return self._stack.enter_context(Emulator(service, authority=authority, ca_file=ca_file))


@pytest.fixture(scope="session")
def emulator_authority() -> PrivateAuthority:
    """One private CA for the session; making keys for each test would cost time."""
    return PrivateAuthority()


@pytest.fixture(scope="session")
def parsed_private_keys() -> Iterator[None]:
    """Parse each private key in PEM once in the session, for the clients too.

    OpenSSL proves the primes of an RSA key whenever it is parsed, which takes longer than a call.
    """
    from cryptography.hazmat.primitives import serialization

    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(serialization.load_pem_private_key)
        patch.setattr(serialization, "load_pem_private_key", once)
        yield


@pytest.fixture
def start_emulator() -> Iterator[EmulatorStarter]:
    """Start emulators by `start_emulator(service)`; they stop after the test."""
    with contextlib.ExitStack() as stack:
        yield EmulatorStarter(stack)


@pytest.fixture
def aws_kms(start_emulator: EmulatorStarter) -> Emulator[AwsKmsService]:
    """A running AWS KMS without keys: `aws_kms.url`, `aws_kms.service.create_key()`."""
    from ksm_storage_emulators.aws_kms.service import AwsKmsService

    return start_emulator(AwsKmsService())


@pytest.fixture
def azure_key_vault(
    start_emulator: EmulatorStarter, emulator_authority: PrivateAuthority, tmp_path: Path
) -> Emulator[AzureKeyVaultService]:
    """A running Key Vault over HTTPS with an empty vault `demo.vault.azure.net`."""
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService

    ca_file = tmp_path / "azure-key-vault-ca.pem"
    return start_emulator(AzureKeyVaultService(), authority=emulator_authority, ca_file=ca_file)


@pytest.fixture
def gcp_kms(start_emulator: EmulatorStarter) -> Emulator[GcpKmsService]:
    """A running Cloud KMS without keys: `gcp_kms.service.grpc_address`, `.create_key("k")`."""
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService

    return start_emulator(GcpKmsService())


@pytest.fixture
def oci_vault(start_emulator: EmulatorStarter) -> Emulator[OciVaultService]:
    """A running OCI Vault without keys: `oci_vault.url`, `oci_vault.service.create_key()`."""
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    return start_emulator(OciVaultService())


@pytest.fixture
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hide this machine's credentials, CA bundles, proxies and home directory from clients."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    # Otherwise clients without credentials ask the link-local metadata address, slowly.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
