"""What the command line starts: keys of each kind, and an instance that may use them."""

from __future__ import annotations

from ksm_storage_emulators.gcp_kms.service import ADMINISTRATOR, GcpKmsService


def create_service() -> GcpKmsService:
    """Return a service with the keys `demo`, `demo-rsa` and `demo-raw`.

    Its metadata server speaks for the administrator, so that clients need no credentials file.
    """
    service = GcpKmsService()
    service.create_key("demo")
    service.create_key("demo-rsa", algorithm="RSA_DECRYPT_OAEP_2048_SHA256")
    service.create_key("demo-raw", algorithm="AES_256_GCM")
    service.endpoints.instance_account = ADMINISTRATOR
    return service
