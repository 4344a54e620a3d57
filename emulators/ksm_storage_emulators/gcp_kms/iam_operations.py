"""TestIamPermissions, which belongs to another service on the same address.

https://cloud.google.com/kms/docs/reference/rpc/google.iam.v1#iampolicy
"""

from __future__ import annotations

from google.iam.v1 import iam_policy_pb2

from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.names import require
from ksm_storage_emulators.gcp_kms.operation import Operation


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
