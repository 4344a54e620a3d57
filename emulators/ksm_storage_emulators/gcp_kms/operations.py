"""Every operation by its name on the wire: the request's type and the function that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.cloud import kms_v1

from ksm_storage_emulators.gcp_kms import crypto_operations as crypto
from ksm_storage_emulators.gcp_kms import key_operations as administration

SERVICE = "google.cloud.kms.v1.KeyManagementService"
IAM_SERVICE = "google.iam.v1.IAMPolicy"

OPERATIONS: Mapping[str, tuple[Any, Callable[..., Any]]] = {
    "Encrypt": (kms_v1.EncryptRequest, crypto.encrypt),
    "Decrypt": (kms_v1.DecryptRequest, crypto.decrypt),
    "RawEncrypt": (kms_v1.RawEncryptRequest, crypto.raw_encrypt),
    "RawDecrypt": (kms_v1.RawDecryptRequest, crypto.raw_decrypt),
    "GetPublicKey": (kms_v1.GetPublicKeyRequest, crypto.get_public_key),
    "AsymmetricDecrypt": (kms_v1.AsymmetricDecryptRequest, crypto.asymmetric_decrypt),
    "AsymmetricSign": (kms_v1.AsymmetricSignRequest, crypto.asymmetric_sign),
    "CreateCryptoKey": (kms_v1.CreateCryptoKeyRequest, administration.create_crypto_key),
    "GetCryptoKey": (kms_v1.GetCryptoKeyRequest, administration.get_crypto_key),
    "GetCryptoKeyVersion": (
        kms_v1.GetCryptoKeyVersionRequest,
        administration.get_crypto_key_version,
    ),
    "CreateCryptoKeyVersion": (
        kms_v1.CreateCryptoKeyVersionRequest,
        administration.create_crypto_key_version,
    ),
    "UpdateCryptoKeyPrimaryVersion": (
        kms_v1.UpdateCryptoKeyPrimaryVersionRequest,
        administration.update_crypto_key_primary_version,
    ),
    "UpdateCryptoKeyVersion": (
        kms_v1.UpdateCryptoKeyVersionRequest,
        administration.update_crypto_key_version,
    ),
    "DestroyCryptoKeyVersion": (
        kms_v1.DestroyCryptoKeyVersionRequest,
        administration.destroy_crypto_key_version,
    ),
    "RestoreCryptoKeyVersion": (
        kms_v1.RestoreCryptoKeyVersionRequest,
        administration.restore_crypto_key_version,
    ),
    "TestIamPermissions": (administration.PermissionsRequest, administration.granted_permissions),
}


def service_of(operation: str) -> str:
    """Return the gRPC service to which an operation belongs."""
    return IAM_SERVICE if operation == "TestIamPermissions" else SERVICE
