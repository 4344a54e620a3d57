"""The administration of keys, as far as rotation and states need it.

https://cloud.google.com/kms/docs/reference/rpc/google.cloud.kms.v1
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.cloud import kms_v1
from google.iam.v1 import iam_policy_pb2

from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.keys import (
    DESTROY_AFTER_SECONDS,
    PURPOSES,
    SYMMETRIC,
    CryptoKey,
    State,
    Version,
    require,
)
from ksm_storage_emulators.gcp_kms.operation import Operation

_PREFIX = "cloudkms."


def create_crypto_key(
    operation: Operation, request: kms_v1.CreateCryptoKeyRequest
) -> kms_v1.CryptoKey:
    """Create a key with its first version; pairs may take their time, as the service's do."""
    name = f"{request.parent}/cryptoKeys/{request.crypto_key_id}"
    require(name, "CryptoKey")
    operation.require(f"{_PREFIX}cryptoKeys.create", request.parent)
    wanted = request.crypto_key
    algorithm = wanted.version_template.algorithm.name
    if wanted.purpose.name == "ENCRYPT_DECRYPT" and not wanted.version_template.algorithm:
        algorithm = SYMMETRIC
    if PURPOSES.get(algorithm) != wanted.purpose.name:
        raise GcpError("argument", detail="The algorithm does not fit the purpose.")
    level = wanted.version_template.protection_level
    key = CryptoKey(name, algorithm, level.name if level else "SOFTWARE")
    version = key.add_version()
    operation.store.add(key)
    if algorithm == SYMMETRIC:
        key.primary = version
    return _described(key)


def get_crypto_key(operation: Operation, request: kms_v1.GetCryptoKeyRequest) -> kms_v1.CryptoKey:
    """Return a key with its primary version."""
    require(request.name, "CryptoKey")
    operation.require(f"{_PREFIX}cryptoKeys.get", request.name)
    return _described(operation.store.key(request.name))


def get_crypto_key_version(
    operation: Operation, request: kms_v1.GetCryptoKeyVersionRequest
) -> kms_v1.CryptoKeyVersion:
    """Return a version with its state."""
    require(request.name, "CryptoKeyVersion")
    operation.require(f"{_PREFIX}cryptoKeyVersions.get", request.name)
    return _described_version(operation.store.version(request.name))


def create_crypto_key_version(
    operation: Operation, request: kms_v1.CreateCryptoKeyVersionRequest
) -> kms_v1.CryptoKeyVersion:
    """Add a version; it becomes the primary only when that is asked for."""
    require(request.parent, "CryptoKey")
    operation.require(f"{_PREFIX}cryptoKeyVersions.create", request.parent)
    return _described_version(operation.store.key(request.parent).add_version())


def update_crypto_key_primary_version(
    operation: Operation, request: kms_v1.UpdateCryptoKeyPrimaryVersionRequest
) -> kms_v1.CryptoKey:
    """Make a version the one that encrypts: a rotation."""
    require(request.name, "CryptoKey")
    operation.require(f"{_PREFIX}cryptoKeys.update", request.name)
    key = operation.store.key(request.name)
    key.require_purpose("ENCRYPT_DECRYPT")
    name = f"{request.name}/cryptoKeyVersions/{request.crypto_key_version_id}"
    key.primary = operation.store.version(name)
    return _described(key)


def update_crypto_key_version(
    operation: Operation, request: kms_v1.UpdateCryptoKeyVersionRequest
) -> kms_v1.CryptoKeyVersion:
    """Enable or disable a version; other states have operations of their own."""
    wanted = request.crypto_key_version
    require(wanted.name, "CryptoKeyVersion")
    operation.require(f"{_PREFIX}cryptoKeyVersions.update", wanted.name)
    version = operation.store.version(wanted.name)
    usable = (State.ENABLED.value, State.DISABLED.value)
    if wanted.state.name not in usable or list(request.update_mask.paths) != ["state"]:
        raise GcpError("argument", detail="only the states ENABLED and DISABLED can be set.")
    if version.state.value not in usable:
        raise GcpError("transition", resource=version.name, state=version.state.value)
    version.state = State(wanted.state.name)
    return _described_version(version)


def destroy_crypto_key_version(
    operation: Operation, request: kms_v1.DestroyCryptoKeyVersionRequest
) -> kms_v1.CryptoKeyVersion:
    """Schedule the destruction of a version."""
    require(request.name, "CryptoKeyVersion")
    operation.require(f"{_PREFIX}cryptoKeyVersions.destroy", request.name)
    version = operation.store.version(request.name)
    if version.state not in (State.ENABLED, State.DISABLED):
        raise GcpError("transition", resource=version.name, state=version.state.value)
    version.state = State.DESTROY_SCHEDULED
    version.destroy_at = operation.bench.clock.now() + DESTROY_AFTER_SECONDS
    return _described_version(version)


def restore_crypto_key_version(
    operation: Operation, request: kms_v1.RestoreCryptoKeyVersionRequest
) -> kms_v1.CryptoKeyVersion:
    """Take a scheduled destruction back; the version is disabled then."""
    require(request.name, "CryptoKeyVersion")
    operation.require(f"{_PREFIX}cryptoKeyVersions.restore", request.name)
    version = operation.store.version(request.name)
    if version.state is not State.DESTROY_SCHEDULED:
        raise GcpError("transition", resource=version.name, state=version.state.value)
    version.state, version.destroy_at = State.DISABLED, None
    return _described_version(version)


def _described(key: CryptoKey) -> kms_v1.CryptoKey:
    described = kms_v1.CryptoKey(
        name=key.name,
        purpose=key.purpose,
        version_template={"algorithm": key.algorithm, "protection_level": key.protection_level},
    )
    if key.primary is not None:
        described.primary = _described_version(key.primary)
    if key.rotation_seconds is not None and key.next_rotation is not None:
        described.rotation_period = timedelta(seconds=key.rotation_seconds)
        described.next_rotation_time = _time(key.next_rotation)
    return described


def _described_version(version: Version) -> kms_v1.CryptoKeyVersion:
    described = kms_v1.CryptoKeyVersion(
        name=version.name,
        state=version.state.value,
        algorithm=version.algorithm,
        protection_level=version.protection_level,
    )
    if version.destroy_at is not None:
        described.destroy_time = _time(version.destroy_at)
    return described


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class PermissionsRequest:
    """The request, which is a plain protobuf message, read as the others are."""

    @staticmethod
    def deserialize(body: bytes) -> iam_policy_pb2.TestIamPermissionsRequest:
        """Read the request."""
        return iam_policy_pb2.TestIamPermissionsRequest.FromString(body)


def granted_permissions(
    operation: Operation, request: iam_policy_pb2.TestIamPermissionsRequest
) -> iam_policy_pb2.TestIamPermissionsResponse:
    """Return those of the permissions that the caller has; it needs none to ask.

    A key that is not there answers like one on which nothing is granted.
    """
    require(request.resource, "CryptoKey")
    if any("*" in permission for permission in request.permissions):
        raise GcpError("argument", detail="permissions with wildcards are not allowed.")
    granted = [
        permission
        for permission in request.permissions
        if operation.store.has_key(request.resource)
        and operation.policy.allows(operation.caller, permission, request.resource)
    ]
    return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)
