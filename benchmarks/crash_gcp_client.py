"""The official class for Google Cloud KMS, redirected to the emulator, in a separate process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.auth.transport.requests import Request
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcTransport,
)
from google.oauth2 import service_account
from keeper_secrets_manager_storage_gcp_kms.kms_client import GCPKMSClientConfig
from keeper_secrets_manager_storage_gcp_kms.kms_key_config import GCPKeyConfig
from keeper_secrets_manager_storage_gcp_kms.storage_gcp_kms import GCPKeyValueStorage

_SCOPE = "https://www.googleapis.com/auth/cloudkms"


class _Client(kms_v1.KeyManagementServiceClient):
    # The emulator leaves out the version template, which the class reads.
    def get_crypto_key(self, *given: Any, **more: Any) -> Any:
        key = super().get_crypto_key(*given, **more)
        key.version_template = kms_v1.CryptoKeyVersionTemplate(
            algorithm="GOOGLE_SYMMETRIC_ENCRYPTION"
        )
        return key


def open_official(path: Path, *, name: str, address: str, key_file: Path, ca_file: Path) -> Any:
    """Open a file with the class, over gRPC and TLS, with a token of a service account."""
    read = service_account.Credentials.from_service_account_file
    credentials = read(str(key_file), scopes=[_SCOPE])  # type: ignore[no-untyped-call]
    credentials.refresh(Request())
    channel = grpc.secure_channel(
        address,
        grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(ca_file.read_bytes()),
            grpc.access_token_call_credentials(credentials.token),
        ),
    )
    session = GCPKMSClientConfig()
    session.kms_client = _Client(transport=KeyManagementServiceGrpcTransport(channel=channel))
    return GCPKeyValueStorage(str(path), GCPKeyConfig(f"{name}/cryptoKeyVersions/1"), session)
