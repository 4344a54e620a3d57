"""Sign with a device key that lives in a key service; what comes back is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contract.abilities import CreatesSigningKey, SigningKey, SignsDigest
from ..contract.key_wrapper import KeyUri
from ..errors import KeyStateError, SettingsError
from .kek import Kek

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

DIGEST_BYTES = 32
MAX_SIGNATURE = 72  # two integers of 33 bytes at most, each with its header, in a sequence


def create_signing_key(kek: Kek) -> KeyUri:
    """Create the P-256 signing key that the KEK's name means, and return its URI.

    Raises:
        SettingsError: The plugin cannot create it.
        KeyStateError: It exists.
        ProviderError: The key service rejected the call or failed.
        PluginContractError: The plugin returned something invalid.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, CreatesSigningKey):
        raise SettingsError(
            f"the plugin of {kek.uri.provider!r} cannot create a signing key",
            hint="create it as the plugin's page says, and leave out --create-device-key",
            provider=kek.uri.provider,
        )
    key_id = kek.call_plugin("create", wrapper.create_signing_key)
    if not _is_key_id(kek, key_id):
        raise kek.contract_error("create", "returned an invalid key id")
    return KeyUri(kek.uri.provider, key_id)


def signing_key(kek: Kek) -> SigningKey:
    """Return the public key and the resolved name of a signing key.

    Raises:
        SettingsError: The plugin cannot sign.
        KeyStateError: The key is not a P-256 signing key.
        ProviderError: The key service rejected the call or failed.
        PluginContractError: The plugin returned something invalid.
    """
    found = kek.call_plugin("describe", _signer(kek).signing_key)
    if not isinstance(found, SigningKey) or not _is_key_id(kek, found.key_id):
        raise kek.contract_error("describe", "returned an invalid signing key")
    if read_public_key(found.public_key) is None:
        raise kek.contract_error("describe", "returned a public key that is not on P-256")
    return found


def sign_digest(kek: Kek, digest: bytes, *, public_key: EllipticCurvePublicKey) -> bytes:
    """Return the DER signature of a SHA-256 digest, verified under the device's public key.

    Raises:
        SettingsError: The plugin cannot sign, or the key's name leaves its version open.
        KeyStateError: The key is disabled, or it is another key than the device's.
        ProviderError: The key service rejected the call or failed.
        PluginContractError: The plugin returned something other than a signature.
    """
    if len(digest) != DIGEST_BYTES:
        raise ValueError("a SHA-256 digest has 32 bytes")
    signer = _signer(kek)
    signature = kek.call_plugin("sign", lambda: signer.sign_digest(digest))
    if not isinstance(signature, bytes) or not is_der_signature(signature):
        raise kek.contract_error("sign", "returned something other than a DER signature")
    if not verifies(public_key, signature, digest):
        raise KeyStateError(
            f"the key {kek.uri.key_id!r} signed with another key than this device's",
            hint="name the version that the device was bound with; a rotated key is another key",
            provider=kek.uri.provider,
            key=str(kek.uri),
            operation="sign",
        )
    return signature


def read_public_key(der: bytes) -> EllipticCurvePublicKey | None:
    """Return a P-256 public key from its SubjectPublicKeyInfo, or None for anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    is_p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return key if is_p256 and isinstance(key, EllipticCurvePublicKey) else None


def is_der_signature(signature: bytes) -> bool:
    """Tell whether these bytes are the one DER form of an ECDSA signature over P-256."""
    from cryptography.hazmat.primitives.asymmetric.utils import (
        decode_dss_signature,
        encode_dss_signature,
    )

    if len(signature) > MAX_SIGNATURE:
        return False
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return False
    return r > 0 and s > 0 and encode_dss_signature(r, s) == signature


def verifies(public_key: EllipticCurvePublicKey, signature: bytes, digest: bytes) -> bool:
    """Tell whether the signature of a SHA-256 digest is this key's."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        public_key.verify(signature, digest, ECDSA(Prehashed(SHA256())))
    except InvalidSignature:
        return False
    return True


def _signer(kek: Kek) -> SignsDigest:
    wrapper = kek.wrapper
    if not isinstance(wrapper, SignsDigest):
        raise SettingsError(
            f"the plugin of {kek.uri.provider!r} cannot sign, so it cannot hold a device key",
            hint="use a key of another provider as the device key",
            provider=kek.uri.provider,
        )
    return wrapper


def _is_key_id(kek: Kek, key_id: object) -> bool:
    try:
        KeyUri(kek.uri.provider, key_id)  # type: ignore[arg-type]  # checked by trying
    except (SettingsError, TypeError):
        return False
    return True
