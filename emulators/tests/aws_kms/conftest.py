"""Clients of a fresh AWS KMS emulator."""

from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.loaders import Loader, create_loader

from ksm_storage_emulators.aws_kms.identities import AccessKey
from ksm_storage_emulators.aws_kms.service import AwsKmsService
from ksm_storage_emulators.emulator import Emulator

AwsKms = Emulator[AwsKmsService]

CONTEXT = {"env": "prod", "app": "ksm"}


def encrypt(kms: Any, key_id: str, plaintext: bytes = b"k" * 32, **members: Any) -> bytes:
    blob: bytes = kms.encrypt(KeyId=key_id, Plaintext=plaintext, **members)["CiphertextBlob"]
    return blob


class Clients:
    """Make boto3 clients for one emulator."""

    def __init__(self, emulator: AwsKms, loader: Loader) -> None:
        self._emulator = emulator
        self._loader = loader

    def make(
        self,
        key: AccessKey | None = None,
        *,
        service: str = "kms",
        region: str = "us-east-1",
        **changes: Any,
    ) -> Any:
        key = key or self._emulator.service.administrator
        options = {
            "endpoint_url": self._emulator.url,
            "region_name": region,
            "aws_access_key_id": key.access_key_id,
            "aws_secret_access_key": key.secret_access_key,
            "aws_session_token": key.session_token,
            "config": Config(
                retries={"total_max_attempts": 1}, read_timeout=10, connect_timeout=10
            ),
        }
        core = botocore.session.get_session()
        # Reading the API models anew costs more than all the rest of a test.
        core.register_component("data_loader", self._loader)
        # The stubs know each service by its literal name, which is an argument here.
        session: Any = boto3.Session(botocore_session=core)
        return session.client(service, **{**options, **changes})


@pytest.fixture(scope="session")
def loader() -> Loader:
    return create_loader()


@pytest.fixture
def clients(aws_kms: AwsKms, loader: Loader) -> Clients:
    return Clients(aws_kms, loader)


@pytest.fixture
def kms(clients: Clients) -> Any:
    return clients.make()


@pytest.fixture
def key_id(aws_kms: AwsKms) -> str:
    return aws_kms.service.create_key(alias="alias/app").arn
