"""Encrypt and GenerateDataKey."""

import base64
import os
from typing import Any

from ksm_storage_emulators.aws_kms import rsa_cipher
from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.keys import SYMMETRIC, KmsKey
from ksm_storage_emulators.aws_kms.metadata import algorithms
from ksm_storage_emulators.aws_kms.operation import Operation, require_enabled

MAX_PLAINTEXT = 4096
ALGORITHMS = (SYMMETRIC, *rsa_cipher.HASHES)
_DATA_KEY_BYTES = {"AES_128": 16, "AES_256": 32}


def encrypt(operation: Operation) -> dict[str, Any]:
    """Encrypt bytes with the current material or the public key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
    """
    arguments = operation.arguments
    plaintext = arguments.blob("Plaintext", max_length=MAX_PLAINTEXT)
    algorithm = arguments.choice("EncryptionAlgorithm", ALGORITHMS, default=SYMMETRIC)
    context = arguments.text_map("EncryptionContext")
    key = operation.key_or_alias()
    require_enabled(key)
    blob = seal(operation, key, plaintext, algorithm=algorithm, context=context)
    operation.stop_dry_run()
    return {
        "CiphertextBlob": encode(blob),
        "KeyId": operation.reply_arn(key),
        "EncryptionAlgorithm": algorithm,
    }


def generate_data_key(operation: Operation) -> dict[str, Any]:
    """Make a data key, in clear and sealed.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html
    """
    size = _data_key_size(operation)
    context = operation.arguments.text_map("EncryptionContext")
    key = operation.key_or_alias()
    require_enabled(key)
    require_algorithm(key, SYMMETRIC)
    operation.stop_dry_run()
    plaintext = os.urandom(size)
    return {
        "CiphertextBlob": encode(operation.codec.seal(key, plaintext, context)),
        "Plaintext": encode(operation.reply_plaintext(plaintext)),
        "KeyId": operation.reply_arn(key),
        "KeyMaterialId": key.current.material_id,
    }


def seal(
    operation: Operation, key: KmsKey, plaintext: bytes, *, algorithm: str, context: dict[str, str]
) -> bytes:
    """Encrypt with a symmetric or an RSA key.

    Raises:
        AwsError: InvalidKeyUsageException, or ValidationException for a context with RSA or a
            plaintext that is too long.
    """
    require_algorithm(key, algorithm)
    if key.symmetric:
        return operation.codec.seal(key, plaintext, context)
    refuse_context(context)
    return rsa_cipher.encrypt(key, plaintext, algorithm)


def require_algorithm(key: KmsKey, algorithm: str) -> None:
    """Raise InvalidKeyUsageException unless the key has the algorithm."""
    if algorithm not in algorithms(key):
        text = f"{key.arn} key spec is {key.key_spec} which is not valid for {algorithm}."
        raise AwsError("InvalidKeyUsageException", text)


def refuse_context(context: dict[str, str]) -> None:
    """Raise ValidationException for a context: RSA has no place for it."""
    if context:
        text = "EncryptionContext cannot be specified with an asymmetric encryption algorithm"
        raise AwsError("ValidationException", text)


def encode(value: bytes) -> str:
    """Return bytes as JSON carries them."""
    return base64.b64encode(value).decode()


def _data_key_size(operation: Operation) -> int:
    arguments = operation.arguments
    if arguments.has("KeySpec") == arguments.has("NumberOfBytes"):
        text = "Please specify either number of bytes or key spec."
        raise AwsError("ValidationException", text)
    if arguments.has("KeySpec"):
        return _DATA_KEY_BYTES[arguments.choice("KeySpec", list(_DATA_KEY_BYTES), default="")]
    return arguments.number("NumberOfBytes", low=1, high=1024, default=0)
