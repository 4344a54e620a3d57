"""Start the emulator of a provider with two keys, and count its calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.pytest_plugin import EmulatorStarter

# Sign-in is no call to the key service; the page says so.
SIGN_IN = frozenset({"challenge", "token", "openid-configuration", "Token"})

_numbers = itertools.count(1)


class Measured(NamedTuple):
    """Hold a running emulator and the names of two of its keys."""

    provider: str
    emulator: Emulator[Any]
    keys: tuple[str, str]

    @contextmanager
    def counting(self, found: dict[str, str], heading: str) -> Iterator[None]:
        """Note under a heading how many calls the context makes."""
        self.emulator.transcript.reset()
        yield
        calls = self.emulator.transcript.calls()
        found[heading] = str(sum(n for name, n in calls.items() if name not in SIGN_IN))


Started = tuple[Emulator[Any], tuple[str, str], Mapping[str, str]]


class Service(NamedTuple):
    """Name a plugin and how its emulator starts."""

    provider: str
    plugin: str
    begin: Callable[[EmulatorStarter, Path], Started]

    def start(self, starter: EmulatorStarter, folder: Path, patch: pytest.MonkeyPatch) -> Measured:
        """Start it, and lead the plugin there."""
        emulator, keys, variables = self.begin(starter, folder)
        for name, value in {**emulator.environment(), **variables}.items():
            patch.setenv(name, value)
        return Measured(self.provider, emulator, keys)


def _aws(starter: EmulatorStarter, folder: Path) -> Started:
    from ksm_storage_emulators.aws_kms.service import AwsKmsService

    service = AwsKmsService()
    emulator = starter(service)
    first, second = (f"aws-kms://{service.create_key().arn}" for _ in range(2))
    return emulator, (first, second), {"KSM_STORAGE_AWS_KMS_ENDPOINT": emulator.url}


def _azure(starter: EmulatorStarter, folder: Path) -> Started:
    from ksm_storage_emulators.azure_key_vault.service import AzureKeyVaultService
    from ksm_storage_emulators.certificates import PrivateAuthority

    service = AzureKeyVaultService()
    # A vault of its own: the client remembers challenges by host for as long as the process runs.
    vault = service.add_vault(f"counts{next(_numbers)}")
    emulator = starter(service, authority=PrivateAuthority(), ca_file=folder / "ca.pem")
    first, second = (
        f"azure-kv://{service.create_key(name, vault=vault).kid}" for name in ("first", "second")
    )
    prefix = "KSM_STORAGE_AZURE_KV"
    variables = {
        f"{prefix}_CREDENTIAL": "client-secret",
        f"{prefix}_TENANT_ID": service.directory.tenant_id,
        f"{prefix}_CLIENT_ID": service.administrator.principal.client_id,
        f"{prefix}_CLIENT_SECRET": service.administrator.secret,
        f"{prefix}_AUTHORITY_HOST": emulator.url,
    }
    return emulator, (first, second), variables


def _gcp(starter: EmulatorStarter, folder: Path) -> Started:
    from ksm_storage_emulators.gcp_kms.service import GcpKmsService

    service = GcpKmsService()
    emulator = starter(service)
    first, second = (f"gcp-kms://{service.create_key(name).name}" for name in ("first", "second"))
    account = service.write_key_file(folder / "account.json", url=emulator.url)
    variables = {
        "KSM_STORAGE_GCP_KMS_CREDENTIAL": "service-account",
        "KSM_STORAGE_GCP_KMS_CREDENTIALS_FILE": str(account),
    }
    return emulator, (first, second), variables


def _oci(starter: EmulatorStarter, folder: Path) -> Started:
    from ksm_storage_emulators.oci_vault.service import OciVaultService

    service = OciVaultService()
    emulator = starter(service)
    first, second = (f"oracle-kv://{service.create_key().ocid}" for _ in range(2))
    return emulator, (first, second), {"KSM_STORAGE_ORACLE_KV_ENDPOINT": emulator.url}


SERVICES = {
    service.provider: service
    for service in (
        Service("aws-kms", "ksm_storage_aws_kms", _aws),
        Service("azure-kv", "ksm_storage_azure_kv", _azure),
        Service("gcp-kms", "ksm_storage_gcp_kms", _gcp),
        Service("oracle-kv", "ksm_storage_oracle_kv", _oci),
    )
}
