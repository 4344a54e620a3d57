"""CreateKey, DescribeKey, EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion."""

import re
from dataclasses import replace
from typing import Any

from ksm_storage_emulators.aws_kms.authorization import authorize
from ksm_storage_emulators.aws_kms.errors import AwsError, validation_error
from ksm_storage_emulators.aws_kms.keys import (
    DAY,
    DISABLED,
    ENABLED,
    P256,
    PENDING_DELETION,
    PENDING_REPLICA_DELETION,
    RSA_BITS,
    SYMMETRIC,
    new_key,
)
from ksm_storage_emulators.aws_kms.metadata import key_metadata
from ksm_storage_emulators.aws_kms.operation import Operation, require_enabled, require_not_pending
from ksm_storage_emulators.aws_kms.store import key_arn

_REGION = re.compile(r"([a-z]+-){2,3}\d+")

_MAX_DESCRIPTION = 8192


def create_key(operation: Operation) -> dict[str, Any]:
    """Create a key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
    """
    arguments = operation.arguments
    spec_member = "KeySpec" if arguments.has("KeySpec") else "CustomerMasterKeySpec"
    key_spec = arguments.choice(spec_member, (SYMMETRIC, *RSA_BITS, P256), default=SYMMETRIC)
    usage = "ENCRYPT_DECRYPT" if key_spec == SYMMETRIC else ""
    # A pair can do more than one thing, so the service wants to be told what it is for.
    if not usage and not arguments.has("KeyUsage"):
        text = "You must specify a KeyUsage value for an asymmetric CMK."
        raise AwsError("ValidationException", text)
    fitting = "SIGN_VERIFY" if key_spec == P256 else "ENCRYPT_DECRYPT"
    arguments.choice("KeyUsage", (fitting,), default=usage)
    arguments.choice("Origin", ("AWS_KMS",), default="AWS_KMS")
    authorize(operation.caller, "kms:CreateKey", "*")
    key = new_key(
        operation.region,
        key_spec=key_spec,
        multi_region=arguments.flag("MultiRegion"),
        description=description(operation),
        now=operation.now,
    )
    operation.store.add(key)
    return {"KeyMetadata": key_metadata(key)}


def describe_key(operation: Operation) -> dict[str, Any]:
    """Describe a key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
    """
    return {"KeyMetadata": key_metadata(operation.key_or_alias())}


def enable_key(operation: Operation) -> None:
    """Enable a key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKey.html
    """
    key = operation.key()
    require_not_pending(key)
    key.state = ENABLED


def disable_key(operation: Operation) -> None:
    """Disable a key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKey.html
    """
    key = operation.key()
    require_not_pending(key)
    key.state = DISABLED


def schedule_key_deletion(operation: Operation) -> dict[str, Any]:
    """Begin the waiting period of a deletion.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
    """
    days = operation.arguments.number("PendingWindowInDays", low=7, high=30, default=30)
    key = operation.key()
    require_not_pending(key)
    key.deletion_window_days = days
    reply: dict[str, Any] = {"KeyId": key.arn, "PendingWindowInDays": days}
    if key.primary and len(key.lineage.regions) > 1:
        # The waiting period begins when the last replica is gone.
        key.state = PENDING_REPLICA_DELETION
        return {**reply, "KeyState": key.state}
    key.state = PENDING_DELETION
    key.deletion_at = operation.now + days * DAY
    return {**reply, "KeyState": key.state, "DeletionDate": key.deletion_at}


def cancel_key_deletion(operation: Operation) -> dict[str, Any]:
    """Bring a key back, disabled.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html
    """
    key = operation.key()
    if key.state in (ENABLED, DISABLED):
        raise AwsError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
    key.state = DISABLED
    key.deletion_at = key.deletion_window_days = None
    return {"KeyId": key.arn}


def description(operation: Operation) -> str:
    """Return the Description member, empty when it was not sent."""
    return operation.arguments.optional_text("Description", max_length=_MAX_DESCRIPTION) or ""


def replicate_key(operation: Operation) -> dict[str, Any]:
    """Create a replica in another region.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html
    """
    region = operation.arguments.text("ReplicaRegion", max_length=32)
    if _REGION.fullmatch(region) is None:
        raise validation_error("replicaRegion", f"Member must satisfy pattern: {_REGION.pattern}")
    key = operation.key()
    if not key.multi_region or not key.primary:
        text = f"{key.arn} is not a multi-Region primary key."
        raise AwsError("UnsupportedOperationException", text)
    require_enabled(key)
    # The permission to create the replica is needed in the replica's region.
    authorize(operation.caller, "kms:CreateKey", "*")
    if operation.store.find(region, key.key_id) is not None:
        text = f"{key_arn(region, key.key_id)} already exists."
        raise AwsError("AlreadyExistsException", text)
    # `replace` keeps the very same lineage: material and rotation are shared, states are not.
    replica = replace(
        key, region=region, created_at=operation.now, description=description(operation)
    )
    key.lineage.regions.append(region)
    operation.store.add(replica)
    return {"ReplicaKeyMetadata": key_metadata(replica), "ReplicaPolicy": "", "ReplicaTags": []}
