"""AWS KMS: a minimal boto3 script, and the official class."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interleaved import Program, python
from benchmarks.services.service import (
    CONFIG,
    Service,
    counting,
    official,
    require,
    variables,
)

_MINIMAL = """
import base64, boto3
client = boto3.client("kms", endpoint_url={url!r}, region_name={region!r})
blob = base64.b64decode({blob!r})
assert client.decrypt(KeyId={arn!r}, CiphertextBlob=blob)["Plaintext"]
"""
# The official class has no option for an endpoint; the SDK's own variable gives it one.
_OFFICIAL = """
from keeper_secrets_manager_hsm.storage_aws_kms import AwsKmsKeyValueStorage
storage = AwsKmsKeyValueStorage(key_id={arn!r}, config_file_location=path)
"""


@contextmanager
def running(_folder: Path) -> Iterator[tuple[Service, Program]]:
    """Run the emulator with one key."""
    require("ksm_storage_aws_kms", "ksm_storage_emulators")
    from ksm_storage_emulators.aws_kms.service import AwsKmsService
    from ksm_storage_emulators.emulator import Emulator

    service = AwsKmsService()
    with Emulator(service) as emulator:
        arn = service.create_key().arn
        wanted = {
            **emulator.environment(),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_KMS": emulator.url,
            "KSM_STORAGE_AWS_KMS_ENDPOINT": emulator.url,
        }
        with variables(wanted):
            found = Service(
                "aws-kms",
                "AWS KMS",
                f"aws-kms://{arn}",
                official("keeper_secrets_manager_hsm", _OFFICIAL.format(arn=arn)),
                "official AwsKmsKeyValueStorage",
                counting(emulator),
            )
            yield found, _floor(arn, emulator.url)


def _floor(arn: str, url: str) -> Program:
    import boto3

    region = arn.split(":")[3]
    client = boto3.client("kms", endpoint_url=url, region_name=region)
    blob = client.encrypt(KeyId=arn, Plaintext=json.dumps(CONFIG).encode())["CiphertextBlob"]
    encoded = base64.b64encode(blob).decode()
    code = _MINIMAL.format(url=url, region=region, blob=encoded, arn=arn)
    return python("floor: boto3, one Decrypt", "floor", code)
