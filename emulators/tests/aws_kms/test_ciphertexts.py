"""Ciphertexts of symmetric and RSA keys, dry runs and data keys."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from .conftest import CONTEXT, AwsKms, Clients, encrypt
from .refusal import refused


@pytest.fixture(scope="module")
def oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def test_a_round_trip_names_key_algorithm_material_and_request(kms: Any, key_id: str) -> None:
    blob = encrypt(kms, "alias/app", EncryptionContext=CONTEXT)

    reply = kms.decrypt(CiphertextBlob=blob, KeyId=key_id, EncryptionContext=CONTEXT)

    assert (reply["Plaintext"], reply["KeyId"]) == (b"k" * 32, key_id)
    assert reply["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    described = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert reply["KeyMaterialId"] == described["CurrentKeyMaterialId"]
    assert reply["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize("name", ["arn", "id", "alias", "alias arn"])
def test_every_form_of_name_finds_the_key(kms: Any, key_id: str, name: str) -> None:
    forms = {
        "arn": key_id,
        "id": key_id.rpartition("/")[2],
        "alias": "alias/app",
        "alias arn": key_id.partition(":key/")[0] + ":alias/app",
    }

    assert kms.describe_key(KeyId=forms[name])["KeyMetadata"]["Arn"] == key_id


def test_without_key_id_the_ciphertext_names_the_key(kms: Any, key_id: str) -> None:
    assert kms.decrypt(CiphertextBlob=encrypt(kms, key_id))["KeyId"] == key_id


@pytest.mark.parametrize("position", [0, 5, 20, 45, 80, -1])
def test_damage_anywhere_is_an_invalid_ciphertext(kms: Any, key_id: str, position: int) -> None:
    blob = bytearray(encrypt(kms, key_id))
    blob[position] ^= 1

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=bytes(blob))
    with refused("InvalidCiphertextException") as error:
        kms.decrypt(CiphertextBlob=bytes(blob), KeyId=key_id)
    assert error["status"] == 400


@pytest.mark.parametrize("length", [1, 5, 40, 90])
def test_a_cut_ciphertext_is_an_invalid_ciphertext(kms: Any, key_id: str, length: int) -> None:
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=encrypt(kms, key_id)[:length], KeyId=key_id)


@pytest.mark.parametrize("context", [{}, {"env": "prod"}, {**CONTEXT, "env": "Prod"}])
def test_another_context_is_an_invalid_ciphertext(
    kms: Any, key_id: str, context: dict[str, str]
) -> None:
    blob = encrypt(kms, key_id, EncryptionContext=CONTEXT)

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=key_id, EncryptionContext=context)


def test_another_key_is_an_incorrect_key(aws_kms: AwsKms, kms: Any, key_id: str) -> None:
    other = aws_kms.service.create_key()

    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=encrypt(kms, key_id), KeyId=other.arn)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"Plaintext": b"x" * 4097}, "length less than or equal to 4096"),
        ({"KeyId": "x" * 2049}, "length less than or equal to 2048"),
        ({"EncryptionAlgorithm": "ROT13"}, "enum value set"),
    ],
)
def test_what_is_too_long_or_unknown_is_a_validation_error(
    clients: Clients, key_id: str, members: dict[str, Any], text: str
) -> None:
    from botocore.config import Config

    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    kms = clients.make(config=config)

    with refused("ValidationException") as error:
        kms.encrypt(**{"KeyId": key_id, "Plaintext": b"x", **members})
    assert text in error["Message"]


def test_a_ciphertext_over_6144_bytes_is_a_validation_error(kms: Any, key_id: str) -> None:
    with refused("ValidationException"):
        kms.decrypt(CiphertextBlob=b"x" * 6145, KeyId=key_id)


def test_a_plaintext_of_4096_bytes_fits(kms: Any, key_id: str) -> None:
    assert len(encrypt(kms, key_id, b"x" * 4096)) <= 6144


def test_a_dry_run_answers_that_it_would_have_succeeded(kms: Any, key_id: str) -> None:
    blob = encrypt(kms, key_id)
    runs: list[Callable[[], Any]] = [
        lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x", DryRun=True),
        lambda: kms.decrypt(KeyId=key_id, CiphertextBlob=blob, DryRun=True),
        lambda: kms.generate_data_key(KeyId=key_id, NumberOfBytes=32, DryRun=True),
        lambda: kms.decrypt(KeyId=key_id, DryRun=True, DryRunModifiers=["IGNORE_CIPHERTEXT"]),
    ]

    for run in runs:
        with refused("DryRunOperationException") as error:
            run()
        assert error["status"] == 412


def test_a_dry_run_finds_what_is_wrong(kms: Any, key_id: str) -> None:
    kms.disable_key(KeyId=key_id)

    with refused("DisabledException"):
        kms.decrypt(KeyId=key_id, DryRun=True, DryRunModifiers=["IGNORE_CIPHERTEXT"])
    with refused("ValidationException"):
        kms.decrypt(KeyId=key_id, DryRunModifiers=["IGNORE_CIPHERTEXT"])


def test_a_data_key_opens_with_decrypt(kms: Any, key_id: str) -> None:
    made = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=CONTEXT)

    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)

    assert (len(made["Plaintext"]), opened["Plaintext"]) == (32, made["Plaintext"])
    assert made["KeyMaterialId"] == opened["KeyMaterialId"]
    with refused("ValidationException"):
        kms.generate_data_key(KeyId=key_id)


def test_re_encrypt_moves_a_ciphertext_to_another_key_and_context(
    aws_kms: AwsKms, kms: Any, key_id: str
) -> None:
    other = aws_kms.service.create_key()
    blob = encrypt(kms, key_id, EncryptionContext=CONTEXT)

    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceKeyId=key_id,
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=other.arn,
        DestinationEncryptionContext={"env": "test"},
    )

    assert (moved["SourceKeyId"], moved["KeyId"]) == (key_id, other.arn)
    assert moved["SourceKeyMaterialId"] != moved["DestinationKeyMaterialId"]
    opened = kms.decrypt(
        CiphertextBlob=moved["CiphertextBlob"], KeyId=other.arn, EncryptionContext={"env": "test"}
    )
    assert opened["Plaintext"] == b"k" * 32


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
def test_rsa_round_trip(aws_kms: AwsKms, kms: Any, algorithm: str) -> None:
    key = aws_kms.service.create_key(key_spec="RSA_2048")
    blob = encrypt(kms, key.arn, EncryptionAlgorithm=algorithm)

    reply = kms.decrypt(KeyId=key.arn, CiphertextBlob=blob, EncryptionAlgorithm=algorithm)

    assert reply["Plaintext"] == b"k" * 32
    assert "KeyMaterialId" not in reply
    with refused("InvalidCiphertextException"):
        kms.decrypt(KeyId=key.arn, CiphertextBlob=os.urandom(256), EncryptionAlgorithm=algorithm)


def test_what_the_public_key_encrypts_the_service_decrypts(
    aws_kms: AwsKms, kms: Any, oaep: padding.OAEP
) -> None:
    key = aws_kms.service.create_key(key_spec="RSA_2048")
    public = load_der_public_key(kms.get_public_key(KeyId=key.arn)["PublicKey"])
    assert isinstance(public, rsa.RSAPublicKey)
    blob = public.encrypt(b"local", oaep)

    reply = kms.decrypt(
        KeyId=key.arn, CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256"
    )

    assert reply["Plaintext"] == b"local"


@pytest.mark.parametrize(
    ("spec", "longest"), [("RSA_2048", 190), ("RSA_3072", 318), ("RSA_4096", 446)]
)
def test_rsa_plaintexts_end_at_the_documented_length(
    aws_kms: AwsKms, kms: Any, spec: str, longest: int
) -> None:
    key = aws_kms.service.create_key(key_spec=spec)
    encrypt(kms, key.arn, b"x" * longest, EncryptionAlgorithm="RSAES_OAEP_SHA_256")

    with refused("ValidationException"):
        encrypt(kms, key.arn, b"x" * (longest + 1), EncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_rsa_refuses_a_context_and_the_symmetric_algorithm(aws_kms: AwsKms, kms: Any) -> None:
    key = aws_kms.service.create_key(key_spec="RSA_2048")

    with refused("ValidationException"):
        encrypt(kms, key.arn, EncryptionAlgorithm="RSAES_OAEP_SHA_256", EncryptionContext=CONTEXT)
    with refused("InvalidKeyUsageException"):
        encrypt(kms, key.arn)
    with refused("InvalidKeyUsageException"):
        kms.generate_data_key(KeyId=key.arn, KeySpec="AES_256")
    with refused("UnsupportedOperationException"):
        kms.rotate_key_on_demand(KeyId=key.arn)


def test_a_symmetric_key_has_no_public_key(kms: Any, key_id: str) -> None:
    with refused("UnsupportedOperationException"):
        kms.get_public_key(KeyId=key_id)
