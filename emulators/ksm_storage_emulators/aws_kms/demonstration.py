"""What the command line starts: an administrator, and keys under fixed aliases."""

from ksm_storage_emulators.aws_kms.service import AwsKmsService


def create_service() -> AwsKmsService:
    """Return a service with `alias/demo` (symmetric) and `alias/demo-rsa` (RSA_2048)."""
    service = AwsKmsService()
    service.create_key(alias="alias/demo", multi_region=True)
    service.create_key(alias="alias/demo-rsa", key_spec="RSA_2048")
    return service
