"""The cloud services as an administrator grants and forbids, one thing at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ksm_storage.contract.abilities import Need
from tests.key_service_faults.service import EmulatedService

# The permissions behind each purpose, by the names under which a policy grants them.
GRANTS: Mapping[str, Mapping[Need, tuple[str, ...]]] = {
    "aws-kms": {
        "open": ("kms:Decrypt",),
        "seal": ("kms:Encrypt",),
        "describe": ("kms:DescribeKey", "kms:GetKeyRotationStatus"),
    },
    "azure-kv": {
        "open": ("unwrapKey",),
        "seal": ("wrapKey",),
        "describe": ("get", "getrotationpolicy"),
    },
    "gcp-kms": {
        "open": ("cloudkms.cryptoKeyVersions.useToDecrypt",),
        "seal": ("cloudkms.cryptoKeyVersions.useToEncrypt",),
        "describe": ("cloudkms.cryptoKeys.get", "cloudkms.cryptoKeyVersions.get"),
    },
    "oracle-kv": {
        "open": ("KEY_DECRYPT",),
        "seal": ("KEY_ENCRYPT",),
        "describe": ("KEY_READ",),
    },
}


def forbid(service: EmulatedService, need: Need) -> None:
    """Let the principal do everything but one thing."""
    allow_only(service, GRANTS[service.provider].keys() - {need})


def allow_only(service: EmulatedService, needs: Collection[Need]) -> None:
    """Let the principal do these things, and nothing else."""
    names = [name for need in needs for name in GRANTS[service.provider][need]]
    _SET[service.provider](service, names)


def _aws(service: EmulatedService, names: list[str]) -> None:
    from ksm_storage_emulators.aws_kms.identities import allow

    kms = service.emulator.service
    principal = kms.administrator.principal.arn
    kms.identities.set_statements(principal, [allow(*names)])


def _azure(service: EmulatedService, names: list[str]) -> None:
    host = service.keys[0].partition("https://")[2].partition("/")[0]
    vault = service.emulator.service.store._vaults[host]
    vault.grant(service.emulator.service.administrator.principal.object_id, sorted(names))


def _gcp(service: EmulatedService, names: list[str]) -> None:
    from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR

    policy = service.emulator.service.policy
    policy.revoke(ADMINISTRATOR)
    policy.grant(ADMINISTRATOR, set(names))


def _oci(service: EmulatedService, names: list[str]) -> None:
    from ksm_storage_emulators.oci_vault.identities import Grant

    principal: Any = service.emulator.service.administrator.principal
    principal.grants = [Grant(name) for name in names]


_SET = {"aws-kms": _aws, "azure-kv": _azure, "gcp-kms": _gcp, "oracle-kv": _oci}
