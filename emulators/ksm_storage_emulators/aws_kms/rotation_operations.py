"""Rotation of symmetric keys: automatic, on demand, and its history.

https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
"""

from typing import Any

from ksm_storage_emulators.aws_kms.arguments import page
from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.keys import KeyMaterial, KmsKey, new_material
from ksm_storage_emulators.aws_kms.operation import Operation, require_enabled

_ON_DEMAND = "ON_DEMAND"
_ON_DEMAND_LIMIT = 25


def enable_key_rotation(operation: Operation) -> None:
    """Rotate automatically from now on.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html
    """
    days = operation.arguments.number("RotationPeriodInDays", low=90, high=2560, default=365)
    key = _rotatable(operation)
    key.lineage.rotation_period_days = days
    key.lineage.rotation_from = operation.now


def disable_key_rotation(operation: Operation) -> None:
    """Stop automatic rotation.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKeyRotation.html
    """
    _rotatable(operation).lineage.rotation_period_days = None


def rotate_key_on_demand(operation: Operation) -> dict[str, Any]:
    """Rotate at once.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html
    """
    key = _rotatable(operation)
    materials = key.lineage.materials
    if sum(m.rotation == _ON_DEMAND for m in materials) >= _ON_DEMAND_LIMIT:
        text = f"{key.arn} has reached its limit of {_ON_DEMAND_LIMIT} on-demand rotations."
        raise AwsError("LimitExceededException", text)
    materials.append(new_material(operation.now, rotation=_ON_DEMAND))
    return {"KeyId": key.arn}


def get_key_rotation_status(operation: Operation) -> dict[str, Any]:
    """Tell about automatic rotation.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html
    """
    key = operation.key()
    _require_symmetric(key)
    next_rotation = key.lineage.next_rotation()
    reply: dict[str, Any] = {"KeyId": key.arn, "KeyRotationEnabled": next_rotation is not None}
    if next_rotation is not None:
        reply["RotationPeriodInDays"] = key.lineage.rotation_period_days
        reply["NextRotationDate"] = next_rotation
    return reply


def list_key_rotations(operation: Operation) -> dict[str, Any]:
    """List the rotations of a key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html
    """
    all_material = "ALL_KEY_MATERIAL"
    included = operation.arguments.choice(
        "IncludeKeyMaterial", (all_material, "ROTATIONS_ONLY"), default="ROTATIONS_ONLY"
    )
    key = operation.key()
    _require_symmetric(key)
    materials = key.lineage.materials if included == all_material else key.lineage.materials[1:]
    return page(operation.arguments, "Rotations", [_entry(key, m) for m in materials])


def _entry(key: KmsKey, material: KeyMaterial) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "KeyId": key.arn,
        "KeyMaterialId": material.material_id,
        "KeyMaterialState": "CURRENT" if material is key.current else "NON_CURRENT",
    }
    if material.rotation is not None:
        entry["RotationDate"] = material.created_at
        entry["RotationType"] = material.rotation
    return entry


def _rotatable(operation: Operation) -> KmsKey:
    key = operation.key()
    _require_symmetric(key)
    if not key.primary:
        text = f"{key.arn} is a replica key, rotate its primary key instead."
        raise AwsError("UnsupportedOperationException", text)
    require_enabled(key)
    return key


def _require_symmetric(key: KmsKey) -> None:
    if not key.symmetric:
        text = f"{key.arn} key spec {key.key_spec} is not valid for this operation."
        raise AwsError("UnsupportedOperationException", text)
