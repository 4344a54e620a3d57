"""wrapKey, unwrapKey, encrypt, decrypt and sign."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ksm_storage_emulators.azure_key_vault import algorithms
from ksm_storage_emulators.azure_key_vault.algorithms import Sealed
from ksm_storage_emulators.azure_key_vault.errors import bad_parameter
from ksm_storage_emulators.azure_key_vault.key_request import KeyRequest
from ksm_storage_emulators.azure_key_vault.keys import KeyVersion
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.json_web_token import encode

Result = dict[str, Any]


def wrap_key(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/wrap-key/wrap-key ."""
    key = _key(request, "wrapKey")
    algorithm, value = request.text("alg"), request.decoded("value")
    if isinstance(key.material, RSAPrivateKey):
        sealed = algorithms.rsa_encrypt(key.material, algorithm, value)
    else:
        sealed = algorithms.aes_wrap(key.material, algorithm, value)
    return {"kid": _kid(request, key), "value": encode(sealed.value)}


def unwrap_key(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/unwrap-key/unwrap-key ."""
    key = _key(request, "unwrapKey")
    algorithm, sealed = request.text("alg"), Sealed(request.decoded("value"))
    if isinstance(key.material, RSAPrivateKey):
        value = algorithms.rsa_decrypt(key.material, algorithm, sealed)
    else:
        value = algorithms.aes_unwrap(key.material, algorithm, sealed)
    return {"kid": _kid(request, key), "value": encode(_plaintext(request, value))}


def encrypt(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/encrypt/encrypt ."""
    key = _key(request, "encrypt")
    algorithm, value = request.text("alg"), request.decoded("value")
    if isinstance(key.material, RSAPrivateKey):
        sealed = algorithms.rsa_encrypt(key.material, algorithm, value)
        return {"kid": _kid(request, key), "value": encode(sealed.value)}
    aad = request.optional_bytes("aad")
    sealed = algorithms.aes_encrypt(key.material, algorithm, value, aad=aad)
    result = {
        "kid": _kid(request, key),
        "alg": algorithm,
        "value": encode(sealed.value),
        "iv": encode(sealed.iv),
        "tag": encode(sealed.tag),
    }
    return {**result, "aad": encode(aad)} if aad else result


def decrypt(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/decrypt/decrypt ."""
    key = _key(request, "decrypt")
    algorithm, value = request.text("alg"), request.decoded("value")
    if isinstance(key.material, RSAPrivateKey):
        plaintext = algorithms.rsa_decrypt(key.material, algorithm, Sealed(value))
    else:
        sealed = Sealed(value, request.decoded("iv"), request.decoded("tag"))
        aad = request.optional_bytes("aad")
        plaintext = algorithms.aes_decrypt(key.material, algorithm, sealed, aad=aad)
    return {"kid": _kid(request, key), "value": encode(_plaintext(request, plaintext))}


def sign(request: KeyRequest) -> Result:
    """https://learn.microsoft.com/en-us/rest/api/keyvault/keys/sign/sign ."""
    key = _key(request, "sign")
    algorithm, digest = request.text("alg"), request.decoded("value")
    if key.ec_key is None or algorithm != "ES256" or len(digest) != SHA256.digest_size:
        raise bad_parameter("Property has invalid value: alg or value, or it does not fit the key.")
    numbers = decode_dss_signature(key.ec_key.sign(digest, ec.ECDSA(Prehashed(SHA256()))))
    # RFC 7518, 3.4: r and s side by side, not DER.
    raw = b"".join(each.to_bytes(32, "big") for each in numbers)
    return {"kid": _kid(request, key), "value": encode(raw)}


def _key(request: KeyRequest, operation: str) -> KeyVersion:
    key = request.store.version(request.vault, request.name, request.version)
    key.require(operation, now=request.now)
    return key


def _kid(request: KeyRequest, key: KeyVersion) -> str:
    if request.call.suffers(FaultKind.WRONG_KEY_ID):
        return f"https://{request.vault.host}/keys/another-key/{'0' * 32}"
    return key.kid


def _plaintext(request: KeyRequest, plaintext: bytes) -> bytes:
    return plaintext + b"\0" if request.call.suffers(FaultKind.OVER_LONG_KEY) else plaintext
