"""Sign with a P-256 key of a vault or managed HSM: the device key that never leaves it.

Source: Azure Key Vault REST API reference, "Sign"; RFC 7518, 3.4 and 6.2.1.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

from ksm_storage import plugin as kit

from .abilities import key_bundle
from .client import VaultClient
from .hooks import NAMES, is_hsm
from .key_wrapper import CHECK, encoded, member_bytes, member_text

ALGORITHM, CURVE = "ES256", "P-256"
CREATE = "create one: az keyvault key create --vault-name VAULT --name KEY --kty EC --curve P-256"


def create_signing_key(client: VaultClient, name: kit.KeyName) -> str:
    """Create a P-256 key, in the HSM where there is one, and return the URL of its version.

    Raises:
        SettingsError: The name has a version.
        KeyStateError: There is a key or an alias of this name.
        ProviderError: The service refused or failed.
    """
    kit.refuse_version(name, name.version, chosen="the vault chooses the version")
    try:
        # The vault would add a version to a key that is there.
        key_bundle(client, name)
    except kit.KeyNotFoundError:
        pass
    else:
        raise kit.key_exists(name)
    kind = "EC-HSM" if is_hsm(name) else "EC"
    body = {"kty": kind, "crv": CURVE, "key_ops": ["sign", "verify"]}
    reply = client.call("create", name, body)
    key = reply.get("key")
    return member_text(key if isinstance(key, dict) else {}, "kid")


def signing_key(client: VaultClient, name: kit.KeyName) -> kit.SigningKey:
    """Return the public key of the version that is named, or else of the newest.

    Raises:
        KeyStateError: It is not a P-256 key.
        ProviderError: The service refused or failed.
    """
    bundle, version = key_bundle(client, name)
    public_key = _public_key(bundle["key"])
    if public_key is None:
        raise kit.not_a_signing_key(name, create=CREATE)
    return kit.SigningKey(str(version), public_key)


def sign_digest(client: VaultClient, name: kit.KeyName, digest: bytes) -> bytes:
    """Return the DER signature of a SHA-256 digest, from one request that is not sent again.

    Raises:
        SettingsError: The name has no version.
        KeyStateError: The version is disabled or expired, or cannot sign.
        ProviderError: The service refused or failed, or signed with another key.
    """
    kit.require_version(
        name,
        name.version,
        hint="add the version to the URL: after a rotation the newest one is another key",
    )
    reply = client.call("sign", name, {"alg": ALGORITHM, "value": encoded(digest)})
    key_id = member_text(reply, "kid")
    if not NAMES.covers(str(name), key_id):
        raise kit.other_key_error("the vault", "signed with", key_id, name, check=CHECK)
    raw = member_bytes(reply, "value")
    signature = kit.der_signature(raw)
    if signature is None:
        raise kit.ProviderError(f"the vault returned a signature of {len(raw)} bytes, not 64")
    return signature


def _public_key(web_key: Mapping[str, Any]) -> bytes | None:
    if web_key.get("kty") not in ("EC", "EC-HSM") or web_key.get("crv") != CURVE:
        return None
    try:
        x, y = (urlsafe_b64decode(str(web_key[part]) + "==") for part in ("x", "y"))
    except (LookupError, ValueError):
        return None
    return kit.public_key_of_point(b"\x04" + x + y)
