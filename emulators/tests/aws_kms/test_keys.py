"""Keys: states, aliases, rotation and replicas."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import CONTEXT, AwsKms, Clients, encrypt
from .refusal import refused

DAY = 86_400


@pytest.mark.parametrize("name", ["alias/none", "1234abcd-12ab-34cd-56ef-1234567890ab", "nonsense"])
def test_a_missing_key_is_not_found(kms: Any, name: str) -> None:
    with refused("NotFoundException"):
        kms.encrypt(KeyId=name, Plaintext=b"x")


def test_a_key_of_another_region_is_not_found(clients: Clients, key_id: str) -> None:
    with refused("NotFoundException") as error:
        clients.make(region="eu-west-1").encrypt(KeyId=key_id, Plaintext=b"x")
    assert error["Message"] == "Invalid arn us-east-1"


USES: dict[str, Callable[[Any, str, bytes], Any]] = {
    "Encrypt": lambda kms, key, _: kms.encrypt(KeyId=key, Plaintext=b"x"),
    "Decrypt": lambda kms, key, blob: kms.decrypt(KeyId=key, CiphertextBlob=blob),
    "GenerateDataKey": lambda kms, key, _: kms.generate_data_key(KeyId=key, KeySpec="AES_256"),
    "ReEncrypt": lambda kms, key, blob: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key),
    "RotateKeyOnDemand": lambda kms, key, _: kms.rotate_key_on_demand(KeyId=key),
    "EnableKeyRotation": lambda kms, key, _: kms.enable_key_rotation(KeyId=key),
}


@pytest.mark.parametrize("operation", USES)
def test_a_disabled_key_refuses_every_use(kms: Any, key_id: str, operation: str) -> None:
    blob = encrypt(kms, key_id)
    kms.disable_key(KeyId=key_id)

    with refused("DisabledException") as error:
        USES[operation](kms, key_id, blob)
    assert (error["Message"], error["status"]) == (f"{key_id} is disabled.", 400)
    kms.enable_key(KeyId=key_id)
    USES[operation](kms, key_id, blob)


MANAGEMENT: dict[str, Callable[[Any, str, bytes], Any]] = {
    "EnableKey": lambda kms, key, _: kms.enable_key(KeyId=key),
    "DisableKey": lambda kms, key, _: kms.disable_key(KeyId=key),
    "ScheduleKeyDeletion": lambda kms, key, _: kms.schedule_key_deletion(KeyId=key),
    "CreateAlias": lambda kms, key, _: kms.create_alias(AliasName="alias/x", TargetKeyId=key),
}


@pytest.mark.parametrize("operation", [*USES, *MANAGEMENT])
def test_a_key_pending_deletion_refuses_use_and_change(
    kms: Any, key_id: str, operation: str
) -> None:
    blob = encrypt(kms, key_id)
    kms.schedule_key_deletion(KeyId=key_id)

    with refused("KMSInvalidStateException") as error:
        {**USES, **MANAGEMENT}[operation](kms, key_id, blob)
    assert error["Message"] == f"{key_id} is pending deletion."


def test_a_cancelled_deletion_leaves_a_disabled_key(kms: Any, key_id: str) -> None:
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    kms.cancel_key_deletion(KeyId=key_id)

    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Disabled"
    with refused("KMSInvalidStateException"):
        kms.cancel_key_deletion(KeyId=key_id)


def test_a_deletion_is_final_when_its_date_has_come(aws_kms: AwsKms, kms: Any, key_id: str) -> None:
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    aws_kms.clock.advance(7 * DAY - 60)
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["DeletionDate"]

    aws_kms.clock.advance(120)

    with refused("NotFoundException"):
        kms.describe_key(KeyId=key_id)
    assert kms.list_aliases()["Aliases"] == []


@pytest.mark.parametrize("days", [6, 31])
def test_the_waiting_period_is_7_to_30_days(kms: Any, key_id: str, days: int) -> None:
    with refused("ValidationException"):
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)


def test_an_asymmetric_key_is_created_for_a_purpose(kms: Any) -> None:
    with refused("ValidationException"):
        kms.create_key(KeySpec="RSA_2048")
    made = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    assert made["EncryptionAlgorithms"] == ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]


def test_rotation_keeps_old_ciphertexts_readable(kms: Any, key_id: str) -> None:
    before = encrypt(kms, key_id)
    first = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]

    kms.rotate_key_on_demand(KeyId=key_id)

    second = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=before)["KeyMaterialId"] == first != second
    assert kms.decrypt(CiphertextBlob=encrypt(kms, key_id))["KeyMaterialId"] == second
    (rotation,) = kms.list_key_rotations(KeyId=key_id)["Rotations"]
    assert (rotation["KeyMaterialId"], rotation["RotationType"]) == (second, "ON_DEMAND")
    listed = kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    states = [r["KeyMaterialState"] for r in listed["Rotations"]]
    assert states == ["NON_CURRENT", "CURRENT"]


def test_automatic_rotation_comes_with_time(aws_kms: AwsKms, kms: Any, key_id: str) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    assert kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"] is True

    aws_kms.clock.advance(181 * DAY)

    rotations = kms.list_key_rotations(KeyId=key_id)["Rotations"]
    assert [r["RotationType"] for r in rotations] == ["AUTOMATIC", "AUTOMATIC"]


def test_on_demand_rotations_are_limited(kms: Any, key_id: str) -> None:
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key_id)

    with refused("LimitExceededException"):
        kms.rotate_key_on_demand(KeyId=key_id)
    page = kms.list_key_rotations(KeyId=key_id, Limit=20)
    assert (page["Truncated"], len(page["Rotations"])) == (True, 20)
    rest = kms.list_key_rotations(KeyId=key_id, Marker=page["NextMarker"])
    assert len(rest["Rotations"]) == 5
    with refused("InvalidMarkerException"):
        kms.list_key_rotations(KeyId=key_id, Marker="x")


def test_a_replica_opens_what_its_primary_sealed(aws_kms: AwsKms, clients: Clients) -> None:
    kms, west = clients.make(), clients.make(region="eu-west-1")
    primary = aws_kms.service.create_key(multi_region=True)
    blob = encrypt(kms, primary.arn, EncryptionContext=CONTEXT)

    made = kms.replicate_key(KeyId=primary.arn, ReplicaRegion="eu-west-1")["ReplicaKeyMetadata"]

    assert made["Arn"] == primary.arn.replace("us-east-1", "eu-west-1")
    assert made["MultiRegionConfiguration"]["MultiRegionKeyType"] == "REPLICA"
    opened = west.decrypt(CiphertextBlob=blob, KeyId=made["Arn"], EncryptionContext=CONTEXT)
    assert (opened["Plaintext"], opened["KeyId"]) == (b"k" * 32, made["Arn"])
    kms.rotate_key_on_demand(KeyId=primary.arn)
    assert west.decrypt(CiphertextBlob=encrypt(kms, primary.arn))["Plaintext"] == b"k" * 32


def test_a_replica_has_its_own_state_and_is_not_rotated(aws_kms: AwsKms, clients: Clients) -> None:
    kms, west = clients.make(), clients.make(region="eu-west-1")
    primary = aws_kms.service.create_key(multi_region=True)
    kms.replicate_key(KeyId=primary.arn, ReplicaRegion="eu-west-1")

    with refused("UnsupportedOperationException"):
        west.rotate_key_on_demand(KeyId=primary.key_id)
    with refused("AlreadyExistsException"):
        kms.replicate_key(KeyId=primary.arn, ReplicaRegion="eu-west-1")
    with refused("ValidationException"):
        kms.replicate_key(KeyId=primary.arn, ReplicaRegion="nowhere")
    west.disable_key(KeyId=primary.key_id)
    with refused("DisabledException"):
        west.encrypt(KeyId=primary.key_id, Plaintext=b"x")
    encrypt(kms, primary.arn)


def test_a_primary_waits_for_its_replicas_to_be_deleted(aws_kms: AwsKms, clients: Clients) -> None:
    kms, west = clients.make(), clients.make(region="eu-west-1")
    primary = aws_kms.service.create_key(multi_region=True)
    kms.replicate_key(KeyId=primary.arn, ReplicaRegion="eu-west-1")

    reply = kms.schedule_key_deletion(KeyId=primary.arn, PendingWindowInDays=7)
    assert (reply["KeyState"], "DeletionDate" in reply) == ("PendingReplicaDeletion", False)
    west.schedule_key_deletion(KeyId=primary.key_id, PendingWindowInDays=7)
    aws_kms.clock.advance(8 * DAY)

    assert kms.describe_key(KeyId=primary.arn)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_single_region_key_is_not_replicated(kms: Any, key_id: str) -> None:
    with refused("UnsupportedOperationException"):
        kms.replicate_key(KeyId=key_id, ReplicaRegion="eu-west-1")


def test_a_single_region_ciphertext_is_hidden_in_another_region(
    clients: Clients, kms: Any, key_id: str
) -> None:
    with refused("AccessDeniedException") as error:
        clients.make(region="eu-west-1").decrypt(CiphertextBlob=encrypt(kms, key_id))
    assert "does not exist in this Region" in error["Message"]


def test_an_alias_moves_from_key_to_key(aws_kms: AwsKms, kms: Any, key_id: str) -> None:
    other = aws_kms.service.create_key()
    blob = encrypt(kms, "alias/app")

    kms.update_alias(AliasName="alias/app", TargetKeyId=other.arn)

    assert kms.describe_key(KeyId="alias/app")["KeyMetadata"]["Arn"] == other.arn
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId="alias/app")
    (entry,) = kms.list_aliases(KeyId=other.key_id)["Aliases"]
    assert entry["TargetKeyId"] == other.key_id
    kms.delete_alias(AliasName="alias/app")
    with refused("NotFoundException"):
        kms.describe_key(KeyId="alias/app")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("alias/app", "AlreadyExistsException"),
        ("alias/aws/s3", "InvalidAliasNameException"),
        ("app", "ValidationException"),
        ("alias/ä", "ValidationException"),
    ],
)
def test_an_alias_that_cannot_be(kms: Any, key_id: str, name: str, code: str) -> None:
    with refused(code):
        kms.create_alias(AliasName=name, TargetKeyId=key_id)


def test_management_takes_no_alias(kms: Any, key_id: str) -> None:
    with refused("NotFoundException"):
        kms.disable_key(KeyId="alias/app")
