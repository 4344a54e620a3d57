"""A folder, keys and servers in which the mistakes of others can happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.emulator import Emulator

from tests.engine.conftest import bound, ca_file, certificate, connect, server, waits
from tests.regressions_of_others.services import Aws, Azure
from tests.unit.storage.fixtures import folder, key, sealed, shared_folder
from tests.unit.storage.planted import counted

__all__ = [
    "bound",
    "ca_file",
    "certificate",
    "connect",
    "counted",
    "folder",
    "key",
    "sealed",
    "server",
    "shared_folder",
    "waits",
]

Official = Callable[[str, Path], Any]


@pytest.fixture(scope="session")
def running_aws() -> Iterator[Emulator[Any]]:
    """Run one AWS KMS for all tests."""
    pytest.importorskip("ksm_storage_aws_kms")
    from ksm_storage_emulators.aws_kms.service import AwsKmsService

    with Emulator(AwsKmsService()) as emulator:
        yield emulator


@pytest.fixture
def aws(running_aws: Emulator[Any], monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Make the emulator the AWS KMS of this process, and its administrator the caller."""
    running_aws.reset()
    return Aws(running_aws, monkeypatch)


@pytest.fixture
def official_aws(aws: Aws) -> Official:
    """Give the official AWS storage, called with a key and a path."""
    from keeper_secrets_manager_hsm.storage_aws_kms import AwsKmsKeyValueStorage

    return lambda arn, path: AwsKmsKeyValueStorage(arn, str(path))


@pytest.fixture(scope="session")
def running_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator[Any]]:
    """Run one Azure Key Vault for all tests."""
    pytest.importorskip("ksm_storage_azure_kv")
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService

    ca_pem = tmp_path_factory.mktemp("azure") / "ca.pem"
    service = AzureKeyVaultService()
    with Emulator(service, authority=PrivateAuthority(), ca_file=ca_pem) as emulator:
        yield emulator


@pytest.fixture
def azure(running_azure: Emulator[Any], monkeypatch: pytest.MonkeyPatch) -> Azure:
    """Make the emulator the Azure of this process."""
    running_azure.reset()
    return Azure(running_azure, monkeypatch)


@pytest.fixture
def official_azure(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Official:
    """Give the official Azure storage, called with a key and a path."""
    from keeper_secrets_manager_storage import storage_azure_keyvault as package

    # Its own requests for tokens must trust the emulator.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azure.ca_file))
    real = {
        name: getattr(package, name) for name in ("CryptographyClient", "ClientSecretCredential")
    }

    def opened(url: str, path: Path) -> Any:
        for name, arguments in azure.redirections(url).items():
            monkeypatch.setattr(package, name, partial(real[name], **arguments))
        session = package.AzureSessionConfig(*azure.credentials)
        return package.AzureKeyValueStorage(url, str(path), session)

    return opened


@pytest.fixture(scope="session")
def running_oracle() -> Iterator[Emulator[Any]]:
    """Run one OCI vault for all tests."""
    pytest.importorskip("ksm_storage_oracle_kv")
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    with Emulator(OciVaultService()) as emulator:
        yield emulator


@pytest.fixture
def official_oracle(
    running_oracle: Emulator[Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], Any]:
    """Give the official Oracle storage under one AES key, called with a path."""
    from keeper_secrets_manager_storage_oracle_kms.oci_session_config import OCISessionConfig
    from keeper_secrets_manager_storage_oracle_kms.oracle_key_value_storage import (
        OracleKeyValueStorage,
    )

    variables = running_oracle.environment()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    url = running_oracle.url
    session = OCISessionConfig(variables["OCI_CONFIG_FILE"], "DEFAULT", url, url)
    ocid = running_oracle.service.create_key(algorithm="AES").ocid
    return lambda path: OracleKeyValueStorage(ocid, None, str(path), session, None)


@pytest.fixture
def official_sdk() -> Any:
    """Give the official SDK."""
    import keeper_secrets_manager_core

    return keeper_secrets_manager_core
