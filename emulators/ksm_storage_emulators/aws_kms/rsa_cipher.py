"""RSA keys: limits, encryption and decryption.

https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html lists the largest plaintexts.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.keys import RSA_BITS, KmsKey

HASHES: dict[str, hashes.HashAlgorithm] = {
    "RSAES_OAEP_SHA_1": hashes.SHA1(),  # noqa: S303  # one of the two that the service offers
    "RSAES_OAEP_SHA_256": hashes.SHA256(),
}


def encrypt(key: KmsKey, plaintext: bytes, algorithm: str) -> bytes:
    """Encrypt with the public key.

    Raises:
        AwsError: ValidationException when the plaintext is too long for key and algorithm.
    """
    max_length = RSA_BITS[key.key_spec] // 8 - 2 * HASHES[algorithm].digest_size - 2
    if len(plaintext) > max_length:
        text = f"Algorithm {algorithm} and key spec {key.key_spec} cannot encrypt data larger than"
        raise AwsError("ValidationException", f"{text} {max_length} bytes.")
    return _private(key).public_key().encrypt(plaintext, _oaep(algorithm))


def decrypt(key: KmsKey, ciphertext: bytes, algorithm: str) -> bytes:
    """Decrypt with the private key.

    Raises:
        AwsError: InvalidCiphertextException.
    """
    try:
        return _private(key).decrypt(ciphertext, _oaep(algorithm))
    except ValueError:
        raise AwsError("InvalidCiphertextException") from None


def _private(key: KmsKey) -> rsa.RSAPrivateKey:
    if not isinstance(key.lineage.private_key, rsa.RSAPrivateKey):
        raise TypeError(f"{key.key_spec} is not an RSA key")
    return key.lineage.private_key


def _oaep(algorithm: str) -> padding.OAEP:
    chosen = HASHES[algorithm]
    return padding.OAEP(padding.MGF1(chosen), chosen, None)
