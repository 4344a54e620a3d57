"""ReplicateKey: the same material under the same key id in another region."""

import re
from dataclasses import replace
from typing import Any

from ksm_storage_emulators.aws_kms.authorization import authorize
from ksm_storage_emulators.aws_kms.errors import AwsError, validation_error
from ksm_storage_emulators.aws_kms.key_operations import description
from ksm_storage_emulators.aws_kms.metadata import key_metadata
from ksm_storage_emulators.aws_kms.operation import Operation, require_enabled
from ksm_storage_emulators.aws_kms.store import key_arn

_REGION = re.compile(r"([a-z]+-){2,3}\d+")


def replicate_key(operation: Operation) -> dict[str, Any]:
    """Create a replica in another region.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html
    """
    region = operation.arguments.text("ReplicaRegion", longest=32)
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
