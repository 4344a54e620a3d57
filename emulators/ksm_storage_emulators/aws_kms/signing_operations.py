"""Sign and GetPublicKey."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ksm_storage_emulators.aws_kms.crypto_operations import encode, require_algorithm
from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.metadata import ECDSA_SHA_256, algorithms
from ksm_storage_emulators.aws_kms.operation import Operation, require_enabled

MAX_MESSAGE = 4096
_DIGEST_BYTES = 32
_SIGNING_ALGORITHMS = (ECDSA_SHA_256, "ECDSA_SHA_384", "RSASSA_PSS_SHA_256")


def sign(operation: Operation) -> dict[str, Any]:
    """Sign a message or its digest; the signature is DER.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
    """
    arguments = operation.arguments
    message = arguments.blob("Message", max_length=MAX_MESSAGE)
    kind = arguments.choice("MessageType", ("RAW", "DIGEST"), default="RAW")
    algorithm = arguments.choice("SigningAlgorithm", _SIGNING_ALGORITHMS, default="")
    key = operation.key_or_alias()
    require_enabled(key)
    require_algorithm(key, algorithm)
    if kind == "DIGEST" and len(message) != _DIGEST_BYTES:
        text = f"Digest is invalid length for algorithm {algorithm}."
        raise AwsError("ValidationException", text)
    operation.stop_dry_run()
    private_key = key.lineage.private_key
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{key.key_spec} is not an EC key")
    scheme = ec.ECDSA(Prehashed(SHA256()) if kind == "DIGEST" else SHA256())
    return {
        "KeyId": operation.reply_arn(key),
        "Signature": encode(private_key.sign(message, scheme)),
        "SigningAlgorithm": algorithm,
    }


def get_public_key(operation: Operation) -> dict[str, Any]:
    """Return the public half of a key pair.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html
    """
    key = operation.key_or_alias()
    if key.lineage.private_key is None:
        text = f"{key.arn} key spec is SYMMETRIC_DEFAULT which is not valid for GetPublicKey."
        raise AwsError("UnsupportedOperationException", text)
    require_enabled(key)
    public_key = key.lineage.private_key.public_key()
    return {
        "KeyId": operation.reply_arn(key),
        "PublicKey": encode(
            public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ),
        "CustomerMasterKeySpec": key.key_spec,
        "KeySpec": key.key_spec,
        "KeyUsage": "SIGN_VERIFY" if key.signs else "ENCRYPT_DECRYPT",
        "SigningAlgorithms" if key.signs else "EncryptionAlgorithms": algorithms(key),
    }
