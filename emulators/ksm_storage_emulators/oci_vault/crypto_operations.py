"""The crypto endpoint: encrypt, decrypt, generateDataEncryptionKey, sign.

https://docs.oracle.com/en-us/iaas/api/#/en/key/latest/EncryptedData/Encrypt and its neighbours.
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.oci_vault import cipher
from ksm_storage_emulators.oci_vault.errors import OciError
from ksm_storage_emulators.oci_vault.keys import AES, ECDSA, RSA, Key, KeyVersion
from ksm_storage_emulators.oci_vault.ocids import new_ocid
from ksm_storage_emulators.oci_vault.operation import Operation, require_enabled

MAX_PLAINTEXT = 4096
MAX_CIPHERTEXT = 8192
MAX_MESSAGE = 4096
# Of RSA keys the service signs with other algorithms; here only keys on a curve do.
_SIGNING_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "ECDSA_SHA_256": hashes.SHA256(),
    "ECDSA_SHA_384": hashes.SHA384(),
    "ECDSA_SHA_512": hashes.SHA512(),
}


def encrypt(operation: Operation) -> Mapping[str, Any]:
    """Encrypt up to 4096 bytes under the current version, or the one that is named."""
    arguments = operation.arguments
    key = operation.key(arguments.text("keyId"), "KEY_ENCRYPT")
    version = _version(operation, key) or key.current
    require_enabled(key, version)
    plaintext = arguments.binary("plaintext")
    if len(plaintext) > MAX_PLAINTEXT:
        raise OciError("InvalidParameter", "plaintext is too long.")
    algorithm, data = _algorithm(operation, key), _associated_data(operation, key)
    blob = cipher.encrypt(key, version, plaintext, algorithm=algorithm, data=data)
    return {"ciphertext": _text(blob), **_names(operation, key, version, algorithm)}


def decrypt(operation: Operation) -> Mapping[str, Any]:
    """Decrypt what a version of the key encrypted."""
    arguments = operation.arguments
    key = operation.key(arguments.text("keyId"), "KEY_DECRYPT")
    version = _version(operation, key)
    require_enabled(key, version or key.current)
    blob = arguments.binary("ciphertext")
    if len(blob) > MAX_CIPHERTEXT:
        raise OciError("InvalidParameter", "ciphertext is too long.")
    algorithm, data = _algorithm(operation, key), _associated_data(operation, key)
    plaintext, used = cipher.decrypt(key, version, blob, algorithm=algorithm, data=data)
    require_enabled(key, used)
    if operation.call.suffers(FaultKind.OVER_LONG_KEY):
        plaintext += b"\0"
    return {
        "plaintext": _text(plaintext),
        "plaintextChecksum": _checksum(operation, plaintext),
        **_names(operation, key, used, algorithm),
    }


def generate_data_encryption_key(operation: Operation) -> Mapping[str, Any]:
    """Make a data key, and encrypt it under an AES key."""
    arguments = operation.arguments
    key = operation.key(arguments.text("keyId"), "KEY_ENCRYPT")
    require_enabled(key, key.current)
    shape = arguments.member("keyShape")
    if key.algorithm != AES or shape.get("algorithm") != AES or shape.get("length") not in (16, 32):
        raise OciError("InvalidParameter", "keyShape is invalid.")
    plaintext = os.urandom(shape["length"])
    data = _associated_data(operation, key)
    blob = cipher.encrypt(key, key.current, plaintext, algorithm=cipher.AES_256_GCM, data=data)
    reply: dict[str, Any] = {"ciphertext": _text(blob)}
    if arguments.flag("includePlaintextKey"):
        checksum = _checksum(operation, plaintext)
        reply |= {"plaintext": _text(plaintext), "plaintextChecksum": checksum}
    return reply


def sign(operation: Operation) -> Mapping[str, Any]:
    """Sign a message or its digest with the current version, or the one that is named.

    https://docs.oracle.com/en-us/iaas/api/#/en/key/latest/SignedData/Sign. That the signature is
    DER stands on no page: assumed.
    """
    arguments = operation.arguments
    key = operation.key(arguments.text("keyId"), "KEY_SIGN")
    version = _version(operation, key) or key.current
    require_enabled(key, version)
    message = arguments.binary("message")
    kind = arguments.optional_text("messageType") or "RAW"
    algorithm = arguments.text("signingAlgorithm")
    chosen = _SIGNING_HASHES.get(algorithm)
    private_key = version.private_key
    if chosen is None or not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise OciError("InvalidParameter", "signingAlgorithm does not fit the key.")
    if kind not in ("RAW", "DIGEST") or len(message) > MAX_MESSAGE:
        raise OciError("InvalidParameter", "messageType or message is invalid.")
    if kind == "DIGEST" and len(message) != chosen.digest_size:
        raise OciError("InvalidParameter", "The digest does not fit signingAlgorithm.")
    signature = private_key.sign(
        message, ec.ECDSA(Prehashed(chosen) if kind == "DIGEST" else chosen)
    )
    names = dict(_names(operation, key, version, algorithm))
    names["signingAlgorithm"] = names.pop("encryptionAlgorithm")
    return {"signature": _text(signature), **names}


def _version(operation: Operation, key: Key) -> KeyVersion | None:
    ocid = operation.arguments.optional_text("keyVersionId")
    return None if ocid is None else key.version(ocid)


def _algorithm(operation: Operation, key: Key) -> str:
    # AES_256_GCM is the default for every key, so an RSA key must be asked for by its algorithm.
    algorithm = operation.arguments.optional_text("encryptionAlgorithm") or cipher.AES_256_GCM
    fitting = tuple(cipher.HASHES) if key.algorithm == RSA else (cipher.AES_256_GCM,)
    if algorithm not in fitting or key.algorithm == ECDSA:
        raise OciError("InvalidParameter", "encryptionAlgorithm does not fit the key.")
    return algorithm


def _associated_data(operation: Operation, key: Key) -> Mapping[str, str]:
    data = operation.arguments.pairs("associatedData")
    # OAEP has no place for it: refused here, so that nobody relies on what binds nothing.
    if data and key.algorithm == RSA:
        raise OciError("InvalidParameter", "associatedData does not fit the key.")
    return data


def _names(
    operation: Operation, key: Key, version: KeyVersion, algorithm: str
) -> Mapping[str, Any]:
    key_id = key.ocid
    if operation.call.suffers(FaultKind.WRONG_KEY_ID):
        key_id = new_ocid("key", vault=operation.vault.name)
    return {"keyId": key_id, "keyVersionId": version.ocid, "encryptionAlgorithm": algorithm}


def _checksum(operation: Operation, plaintext: bytes) -> str:
    # CRC-32 in decimal, by what users have recorded of `oci kms crypto decrypt`: the plaintext
    # "HELLO WORLD" came with "2279966299".
    flipped = 1 if operation.call.suffers(FaultKind.WRONG_CHECKSUM) else 0
    return str(zlib.crc32(plaintext) ^ flipped)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
