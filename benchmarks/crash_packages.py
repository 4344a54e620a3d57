"""The storage classes that are killed while they save: ours and the official ones, by service."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import ksm_storage
from benchmarks.services.service import CONFIG, require, variables

Open = Callable[[Path], Any]

_numbers = itertools.count(1)


class Package(NamedTuple):
    """Name a class, a file that it has sealed, and how a process opens such a file."""

    name: str
    path: Path
    open: Open


@contextmanager
def aws_kms(folder: Path) -> Iterator[list[Package]]:
    """Give our file and the official one under a key of AWS KMS."""
    require("ksm_storage_aws_kms", "ksm_storage_emulators", "keeper_secrets_manager_hsm")
    from keeper_secrets_manager_hsm.storage_aws_kms import AwsKmsKeyValueStorage
    from ksm_storage_emulators.aws_kms.service import AwsKmsService
    from ksm_storage_emulators.emulator import Emulator

    service = AwsKmsService()
    with Emulator(service) as emulator:
        arn = service.create_key().arn
        wanted = {
            "AWS_ENDPOINT_URL_KMS": emulator.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "KSM_STORAGE_AWS_KMS_ENDPOINT": emulator.url,
        }
        with variables({**emulator.environment(), **wanted}):
            yield [
                _ours(folder / "aws", f"aws-kms://{arn}"),
                _official(
                    folder / "aws-official",
                    AwsKmsKeyValueStorage,
                    lambda path: AwsKmsKeyValueStorage(arn, str(path)),
                ),
            ]


@contextmanager
def azure_kv(folder: Path) -> Iterator[list[Package]]:
    """Give our file and the official one under a key of Azure Key Vault."""
    require("ksm_storage_azure_kv", "ksm_storage_emulators", "keeper_secrets_manager_storage")
    from keeper_secrets_manager_storage.storage_azure_keyvault import AzureKeyValueStorage
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
    from ksm_storage_emulators.certificates import PrivateAuthority
    from ksm_storage_emulators.emulator import Emulator

    from benchmarks.crash_azure_client import open_official
    from benchmarks.services.azure_kv import environment

    service, ca_file = AzureKeyVaultService(), folder / "azure-ca.pem"
    with (
        Emulator(service, authority=PrivateAuthority(), ca_file=ca_file) as emulator,
        variables(environment(emulator, ca_file)),
    ):
        # Microsoft's client keeps for the whole process which tenant a vault belongs to, and each
        # emulator is a tenant of its own.
        vault = service.add_vault(f"crash{next(_numbers)}")
        kid, port = service.create_key("bench", vault=vault).kid, emulator.address.port
        yield [
            _ours(folder / "azure", f"azure-kv://{kid}"),
            _official(
                folder / "azure-official",
                AzureKeyValueStorage,
                lambda path: open_official(path, kid=kid, port=port),
            ),
        ]


@contextmanager
def gcp_kms(folder: Path) -> Iterator[list[Package]]:
    """Give our file and the official one under a key of Google Cloud KMS."""
    require("ksm_storage_gcp_kms", "keeper_secrets_manager_storage_gcp_kms")
    # It says at each fork that it was not prepared for it; no client of it outlives one here.
    os.environ["GRPC_VERBOSITY"] = "NONE"
    from keeper_secrets_manager_storage_gcp_kms.storage_gcp_kms import GCPKeyValueStorage
    from ksm_storage_emulators.certificates import PrivateAuthority
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService

    from benchmarks.crash_gcp_client import open_official

    authority, ca_file = PrivateAuthority(), folder / "gcp-ca.pem"
    service = GcpKmsService(authority=authority)
    with Emulator(service, authority=authority, ca_file=ca_file) as emulator:
        key_file = service.write_key_file(folder / "account.json", url=emulator.url)
        wanted = {
            "REQUESTS_CA_BUNDLE": str(ca_file),
            "KSM_STORAGE_GCP_KMS_CREDENTIAL": "service-account",
            "KSM_STORAGE_GCP_KMS_CREDENTIALS_FILE": str(key_file),
        }
        name, address = service.create_key("bench").name, service.grpc_address
        with variables({**emulator.environment(), **wanted}):
            yield [
                _ours(folder / "gcp", f"gcp-kms://{name}"),
                _official(
                    folder / "gcp-official",
                    GCPKeyValueStorage,
                    lambda path: open_official(
                        path, name=name, address=address, key_file=key_file, ca_file=ca_file
                    ),
                ),
            ]


@contextmanager
def oci_vault(folder: Path) -> Iterator[list[Package]]:
    """Give our file and the official one under a key of OCI Vault."""
    package = "keeper_secrets_manager_storage_oracle_kms"
    require("ksm_storage_oracle_kv", "ksm_storage_emulators", package)
    from ksm_storage_emulators.emulator import Emulator
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    storage = import_module(f"{package}.oracle_key_value_storage").OracleKeyValueStorage
    session = import_module(f"{package}.oci_session_config").OCISessionConfig
    with Emulator(OciVaultService()) as emulator:
        key, url = emulator.service.create_key(), emulator.url
        found = {**emulator.environment(), "KSM_STORAGE_ORACLE_KV_ENDPOINT": url}

        def opened(path: Path) -> Any:
            given = session(found["OCI_CONFIG_FILE"], "DEFAULT", url, url)
            return storage(key.ocid, key.current.ocid, str(path), given, None)

        with variables(found):
            yield [
                _ours(folder / "oci", f"oracle-kv://{key.ocid}"),
                _official(folder / "oci-official", storage, opened),
            ]


def _ours(folder: Path, key: str) -> Package:
    path = _plain(folder)
    ksm_storage.protect(path, [key])
    return Package(f"ksm-storage, {key.partition(':')[0]}", path, ksm_storage.open_storage)


def _official(folder: Path, kind: type, opened: Open) -> Package:
    # The first process that opens the plain file seals it.
    return Package(f"official {kind.__name__}", _plain(folder), opened)


def _plain(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "client-config.json"
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    path.chmod(0o600)
    return path
