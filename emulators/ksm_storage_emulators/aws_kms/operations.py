"""The table of KMS operations."""

from collections.abc import Callable, Mapping
from typing import Any

from ksm_storage_emulators.aws_kms import (
    alias_operations,
    crypto_operations,
    decrypt_operations,
    key_operations,
    rotation_operations,
    signing_operations,
)
from ksm_storage_emulators.aws_kms.operation import Operation

OPERATIONS: Mapping[str, Callable[[Operation], dict[str, Any] | None]] = {
    "CancelKeyDeletion": key_operations.cancel_key_deletion,
    "CreateAlias": alias_operations.create_alias,
    "CreateKey": key_operations.create_key,
    "Decrypt": decrypt_operations.decrypt,
    "DeleteAlias": alias_operations.delete_alias,
    "DescribeKey": key_operations.describe_key,
    "DisableKey": key_operations.disable_key,
    "DisableKeyRotation": rotation_operations.disable_key_rotation,
    "EnableKey": key_operations.enable_key,
    "EnableKeyRotation": rotation_operations.enable_key_rotation,
    "Encrypt": crypto_operations.encrypt,
    "GenerateDataKey": crypto_operations.generate_data_key,
    "GetKeyRotationStatus": rotation_operations.get_key_rotation_status,
    "GetPublicKey": signing_operations.get_public_key,
    "ListAliases": alias_operations.list_aliases,
    "ListKeyRotations": rotation_operations.list_key_rotations,
    "ReEncrypt": decrypt_operations.re_encrypt,
    "ReplicateKey": key_operations.replicate_key,
    "RotateKeyOnDemand": rotation_operations.rotate_key_on_demand,
    "ScheduleKeyDeletion": key_operations.schedule_key_deletion,
    "Sign": signing_operations.sign,
    "UpdateAlias": alias_operations.update_alias,
}
