"""AWS KMS: a minimal boto3 script, ksm-storage, and the official class."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from benchmarks.cold_start_programs import CONFIG, official, ours, require, sealed, variables
from benchmarks.interleaved import Program, measure, print_table

_MINIMAL = """
import base64, boto3
client = boto3.client("kms", endpoint_url={url!r}, region_name={region!r})
blob = base64.b64decode({blob!r})
assert client.decrypt(KeyId={arn!r}, CiphertextBlob=blob)["Plaintext"]
"""
# The official class has no option for an endpoint; the SDK's own variable gives it one.
_OFFICIAL = """
from keeper_secrets_manager_hsm.storage_aws_kms import AwsKmsKeyValueStorage
from keeper_secrets_manager_core.configkeys import ConfigKeys
storage = AwsKmsKeyValueStorage(key_id={arn!r}, config_file_location={path!r})
assert storage.get(ConfigKeys.KEY_HOSTNAME)
"""


def show(folder: Path) -> None:
    """Measure and print the table of AWS KMS."""
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
            programs = _programs(folder, arn, emulator.url)
            print_table("AWS KMS: first value", measure(programs), beside=programs[0].name)


def _programs(folder: Path, arn: str, url: str) -> list[Program]:
    import boto3

    region = arn.split(":")[3]
    client = boto3.client("kms", endpoint_url=url, region_name=region)
    blob = client.encrypt(KeyId=arn, Plaintext=json.dumps(CONFIG).encode())["CiphertextBlob"]
    written = folder / "aws-official.json"
    written.write_bytes(blob)
    encoded = base64.b64encode(blob).decode()
    return [
        Program(
            "minimal boto3 script, one Decrypt",
            _MINIMAL.format(url=url, region=region, blob=encoded, arn=arn),
        ),
        ours(sealed(folder / "aws.json", f"aws-kms://{arn}"), "aws-kms"),
        *official(
            "AwsKmsKeyValueStorage",
            _OFFICIAL.format(arn=arn, path=str(written)),
            package="keeper_secrets_manager_hsm",
        ),
    ]
