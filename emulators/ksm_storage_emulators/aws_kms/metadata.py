"""The description of a key, as DescribeKey, CreateKey and ReplicateKey reply it."""

from typing import Any

from ksm_storage_emulators.aws_kms.identities import ACCOUNT
from ksm_storage_emulators.aws_kms.keys import (
    ENABLED,
    PENDING_REPLICA_DELETION,
    SYMMETRIC,
    KmsKey,
)
from ksm_storage_emulators.aws_kms.rsa_cipher import HASHES
from ksm_storage_emulators.aws_kms.store import key_arn

ECDSA_SHA_256 = "ECDSA_SHA_256"


def algorithms(key: KmsKey) -> list[str]:
    """Return the algorithms of a key, to encrypt or to sign."""
    if key.signs:
        return [ECDSA_SHA_256]
    return [SYMMETRIC] if key.symmetric else list(HASHES)


def key_metadata(key: KmsKey) -> dict[str, Any]:
    """Return the KeyMetadata structure.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
    """
    metadata: dict[str, Any] = {
        "AWSAccountId": ACCOUNT,
        "KeyId": key.key_id,
        "Arn": key.arn,
        "CreationDate": key.created_at,
        "Enabled": key.state == ENABLED,
        "Description": key.description,
        "KeyUsage": "SIGN_VERIFY" if key.signs else "ENCRYPT_DECRYPT",
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": key.key_spec,
        "KeySpec": key.key_spec,
        "SigningAlgorithms" if key.signs else "EncryptionAlgorithms": algorithms(key),
        "MultiRegion": key.multi_region,
    }
    if key.symmetric:
        metadata["CurrentKeyMaterialId"] = key.current.material_id
    if key.multi_region:
        metadata["MultiRegionConfiguration"] = _multi_region(key)
    if key.deletion_at is not None:
        metadata["DeletionDate"] = key.deletion_at
    if key.state == PENDING_REPLICA_DELETION:
        metadata["PendingDeletionWindowInDays"] = key.deletion_window_days
    return metadata


def _multi_region(key: KmsKey) -> dict[str, Any]:
    primary = key.lineage.primary_region
    return {
        "MultiRegionKeyType": "PRIMARY" if key.primary else "REPLICA",
        "PrimaryKey": {"Arn": key_arn(primary, key.key_id), "Region": primary},
        "ReplicaKeys": [
            {"Arn": key_arn(region, key.key_id), "Region": region}
            for region in key.lineage.regions
            if region != primary
        ],
    }
