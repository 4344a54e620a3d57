"""The cloud services as an administrator breaks them, one thing at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.key_service_faults.service import EmulatedService

Forbid = Callable[[EmulatedService, str], None]


def _aws(service: EmulatedService, permission: str) -> None:
    from ksm_storage_emulators.aws_kms.identities import allow, deny

    kms = service.emulator.service
    principal = kms.administrator.principal.arn
    kms.identities.set_statements(principal, [allow("*"), deny(permission)])


def _azure(service: EmulatedService, permission: str) -> None:
    vault = _vault_of(service)
    forbidden = f"{permission.rpartition('/')[2]}Key"
    rest = {"get", "wrapKey", "unwrapKey"} - {forbidden}
    vault.grant(service.emulator.service.administrator.principal.object_id, sorted(rest))


def _vault_of(service: EmulatedService) -> Any:
    host = service.keys[0].partition("https://")[2].partition("/")[0]
    return service.emulator.service.store._vaults[host]


def _gcp(service: EmulatedService, permission: str) -> None:
    from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR

    policy = service.emulator.service.policy
    policy.revoke(ADMINISTRATOR)
    names = {
        "cloudkms.cryptoKeyVersions.useToEncrypt",
        "cloudkms.cryptoKeyVersions.useToDecrypt",
        "cloudkms.cryptoKeys.get",
    }
    policy.grant(ADMINISTRATOR, names - {permission})


def _oci(service: EmulatedService, permission: str) -> None:
    from ksm_storage_emulators.oci_vault.identities import Grant

    names: Iterable[str] = {"KEY_ENCRYPT", "KEY_DECRYPT", "KEY_READ"} - {permission}
    principal = service.emulator.service.administrator.principal
    principal.grants = [Grant(name) for name in names]


FORBID: Mapping[str, Forbid] = {
    "aws-kms": _aws,
    "azure-kv": _azure,
    "gcp-kms": _gcp,
    "oracle-kv": _oci,
}
