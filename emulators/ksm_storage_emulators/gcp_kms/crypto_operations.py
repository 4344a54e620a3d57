"""Encrypt, Decrypt, RawEncrypt, RawDecrypt, GetPublicKey, AsymmetricDecrypt and AsymmetricSign.

https://cloud.google.com/kms/docs/reference/rpc/google.cloud.kms.v1
"""

from __future__ import annotations

import os

import google_crc32c
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.cloud import kms_v1

from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.keys import RSA_FORMS, CryptoKey, Version, key_of, require
from ksm_storage_emulators.gcp_kms.operation import Operation

USE_TO_ENCRYPT = "cloudkms.cryptoKeyVersions.useToEncrypt"
USE_TO_DECRYPT = "cloudkms.cryptoKeyVersions.useToDecrypt"
USE_TO_SIGN = "cloudkms.cryptoKeyVersions.useToSign"
VIEW_PUBLIC_KEY = "cloudkms.cryptoKeyVersions.viewPublicKey"

# Plaintext for SOFTWARE keys; plaintext and AAD together for HSM keys.
MAX_SOFTWARE = 64 * 1024
MAX_HSM = 8 * 1024
# https://cloud.google.com/kms/docs/raw-encryption: GCM takes no caller's IV to encrypt.
_GCM_IV_BYTES, _GCM_TAG_BYTES = 12, 16
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA1": hashes.SHA1(),  # noqa: S303  # three of the service's algorithms
    "SHA256": hashes.SHA256(),
    "SHA512": hashes.SHA512(),
}


def encrypt(operation: Operation, request: kms_v1.EncryptRequest) -> kms_v1.EncryptResponse:
    """Encrypt under the primary version, or under the one named."""
    require(request.name, "CryptoKey", "CryptoKeyVersion")
    operation.require(USE_TO_ENCRYPT, key_of(request.name))
    key = operation.store.key(request.name)
    key.require_purpose("ENCRYPT_DECRYPT")
    plaintext, aad = request.plaintext, request.additional_authenticated_data
    _require_sizes(key, plaintext, aad)
    verified = [_verified(request, name) for name in ("plaintext", "additional_authenticated_data")]
    version = operation.store.encrypting_version(request.name)
    version.require_enabled()
    ciphertext = operation.codec.seal(version, plaintext, aad)
    return kms_v1.EncryptResponse(
        name=_falsified(operation, version.name),
        ciphertext=ciphertext,
        ciphertext_crc32c=_checksum(operation, ciphertext),
        verified_plaintext_crc32c=verified[0],
        verified_additional_authenticated_data_crc32c=verified[1],
        protection_level=key.protection_level,
    )


def decrypt(operation: Operation, request: kms_v1.DecryptRequest) -> kms_v1.DecryptResponse:
    """Decrypt with whichever version of the key named the ciphertext was made by."""
    # A version is refused: the service takes the name of the key here.
    require(request.name, "CryptoKey")
    operation.require(USE_TO_DECRYPT, request.name)
    key = operation.store.key(request.name)
    key.require_purpose("ENCRYPT_DECRYPT")
    for name in ("ciphertext", "additional_authenticated_data"):
        _verified(request, name)
    aad = request.additional_authenticated_data
    version, plaintext = operation.codec.open(key, request.ciphertext, aad)
    plaintext = _lengthened(operation, plaintext)
    return kms_v1.DecryptResponse(
        plaintext=plaintext,
        plaintext_crc32c=_checksum(operation, plaintext),
        used_primary=version is key.primary,
        protection_level=key.protection_level,
    )


def raw_encrypt(
    operation: Operation, request: kms_v1.RawEncryptRequest
) -> kms_v1.RawEncryptResponse:
    """Encrypt with AES-GCM under the version named; other modes are not emulated."""
    key, version = _raw_version(operation, request.name, USE_TO_ENCRYPT)
    plaintext, aad = request.plaintext, request.additional_authenticated_data
    if request.initialization_vector:
        raise GcpError("argument", detail="initialization_vector must be empty for AES-GCM.")
    _require_sizes(key, plaintext, aad)
    verified = [_verified(request, name) for name in ("plaintext", "additional_authenticated_data")]
    iv = os.urandom(_GCM_IV_BYTES)
    ciphertext = AESGCM(version.secret).encrypt(iv, plaintext, aad)
    return kms_v1.RawEncryptResponse(
        name=_falsified(operation, version.name),
        ciphertext=ciphertext,
        ciphertext_crc32c=_checksum(operation, ciphertext),
        initialization_vector=iv,
        initialization_vector_crc32c=google_crc32c.value(iv),
        tag_length=_GCM_TAG_BYTES,
        verified_plaintext_crc32c=verified[0],
        verified_additional_authenticated_data_crc32c=verified[1],
        protection_level=key.protection_level,
    )


def raw_decrypt(
    operation: Operation, request: kms_v1.RawDecryptRequest
) -> kms_v1.RawDecryptResponse:
    """Decrypt with AES-GCM under the version named."""
    key, version = _raw_version(operation, request.name, USE_TO_DECRYPT)
    names = ("ciphertext", "additional_authenticated_data", "initialization_vector")
    verified = [_verified(request, name) for name in names]
    if len(request.initialization_vector) != _GCM_IV_BYTES:
        raise GcpError("argument", detail="initialization_vector must be 12 bytes for AES-GCM.")
    if request.tag_length not in (0, _GCM_TAG_BYTES):
        raise GcpError("argument", detail="tag_length must be 16 for AES-GCM.")
    try:
        plaintext = AESGCM(version.secret).decrypt(
            request.initialization_vector,
            request.ciphertext,
            request.additional_authenticated_data,
        )
    except (InvalidTag, ValueError):
        raise GcpError("invalid ciphertext") from None
    plaintext = _lengthened(operation, plaintext)
    return kms_v1.RawDecryptResponse(
        plaintext=plaintext,
        plaintext_crc32c=_checksum(operation, plaintext),
        protection_level=key.protection_level,
        verified_ciphertext_crc32c=verified[0],
        verified_additional_authenticated_data_crc32c=verified[1],
        verified_initialization_vector_crc32c=verified[2],
    )


def get_public_key(operation: Operation, request: kms_v1.GetPublicKeyRequest) -> kms_v1.PublicKey:
    """Return the public key of an enabled version."""
    require(request.name, "CryptoKeyVersion")
    operation.require(VIEW_PUBLIC_KEY, request.name)
    key = operation.store.key(request.name)
    key.require_purpose("ASYMMETRIC_DECRYPT", "ASYMMETRIC_SIGN")
    version = operation.store.version(request.name)
    version.require_enabled()
    if version.private_key is None:
        raise TypeError(f"{version.name} has no key pair")
    public_key = version.private_key.public_key()
    pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return kms_v1.PublicKey(
        pem=pem.decode(),
        algorithm=version.algorithm,
        pem_crc32c=_checksum(operation, pem),
        name=_falsified(operation, version.name),
        protection_level=key.protection_level,
    )


def asymmetric_decrypt(
    operation: Operation, request: kms_v1.AsymmetricDecryptRequest
) -> kms_v1.AsymmetricDecryptResponse:
    """Decrypt with the private key of the version named."""
    require(request.name, "CryptoKeyVersion")
    operation.require(USE_TO_DECRYPT, request.name)
    key = operation.store.key(request.name)
    key.require_purpose("ASYMMETRIC_DECRYPT")
    version = operation.store.version(request.name)
    version.require_enabled()
    verified = _verified(request, "ciphertext")
    chosen = _HASHES[RSA_FORMS[version.algorithm][1]]
    try:
        plaintext = _private_key(version).decrypt(
            request.ciphertext, padding.OAEP(padding.MGF1(chosen), chosen, None)
        )
    except ValueError:
        raise GcpError("asymmetric") from None
    plaintext = _lengthened(operation, plaintext)
    return kms_v1.AsymmetricDecryptResponse(
        plaintext=plaintext,
        plaintext_crc32c=_checksum(operation, plaintext),
        verified_ciphertext_crc32c=verified,
        protection_level=key.protection_level,
    )


def asymmetric_sign(
    operation: Operation, request: kms_v1.AsymmetricSignRequest
) -> kms_v1.AsymmetricSignResponse:
    """Sign a digest with the private key of the version named; the signature is DER."""
    require(request.name, "CryptoKeyVersion")
    operation.require(USE_TO_SIGN, request.name)
    key = operation.store.key(request.name)
    key.require_purpose("ASYMMETRIC_SIGN")
    version = operation.store.version(request.name)
    version.require_enabled()
    digest = bytes(request.digest.sha256)
    if len(digest) != hashes.SHA256.digest_size:
        raise GcpError("argument", detail="digest must be a SHA-256 digest for this algorithm.")
    given = request.digest_crc32c
    if given is not None and given != google_crc32c.value(digest):
        raise GcpError("checksum", detail="digest")
    if not isinstance(version.private_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{version.name} is not an EC key")
    signature = version.private_key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    return kms_v1.AsymmetricSignResponse(
        signature=signature,
        signature_crc32c=_checksum(operation, signature),
        verified_digest_crc32c=given is not None,
        name=_falsified(operation, version.name),
        protection_level=key.protection_level,
    )


def _raw_version(operation: Operation, name: str, permission: str) -> tuple[CryptoKey, Version]:
    require(name, "CryptoKeyVersion")
    operation.require(permission, name)
    key = operation.store.key(name)
    key.require_purpose("RAW_ENCRYPT_DECRYPT")
    version = operation.store.version(name)
    version.require_enabled()
    if not version.algorithm.endswith("_GCM"):
        raise GcpError("argument", detail=f"{version.algorithm} takes no additional data.")
    return key, version


def _private_key(version: Version) -> rsa.RSAPrivateKey:
    if not isinstance(version.private_key, rsa.RSAPrivateKey):
        raise TypeError(f"{version.name} is not an RSA key")
    return version.private_key


def _require_sizes(key: CryptoKey, plaintext: bytes, aad: bytes) -> None:
    if not plaintext:
        raise GcpError("argument", detail="plaintext must not be empty.")
    if key.protection_level == "HSM" and len(plaintext) + len(aad) > MAX_HSM:
        raise GcpError("argument", detail="plaintext and additional data exceed 8192 bytes.")
    if max(len(plaintext), len(aad)) > MAX_SOFTWARE:
        raise GcpError("argument", detail="plaintext or additional data exceeds 65536 bytes.")


def _verified(request: object, name: str) -> bool:
    """Say whether a checksum came along and was right; a wrong one is refused."""
    given = getattr(request, f"{name}_crc32c")
    if given is None:
        return False
    if given != google_crc32c.value(getattr(request, name)):
        raise GcpError("checksum", detail=name)
    return True


def _checksum(operation: Operation, value: bytes) -> int:
    wrong = operation.suffers(FaultKind.WRONG_CHECKSUM)
    return int(google_crc32c.value(value)) ^ int(wrong)


def _falsified(operation: Operation, name: str) -> str:
    if not operation.suffers(FaultKind.WRONG_KEY_ID):
        return name
    return name.replace("/cryptoKeys/", "/cryptoKeys/not-")


def _lengthened(operation: Operation, plaintext: bytes) -> bytes:
    return plaintext + b"\0" if operation.suffers(FaultKind.OVER_LONG_KEY) else plaintext
