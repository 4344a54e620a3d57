"""Sign with a P-256 key in Transit: the device key that never leaves the server."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from ksm_storage.plugin import (
    Call,
    KeyNotFoundError,
    KeyStateError,
    SigningKey,
    der_of_pem,
    incomplete_reply,
    key_exists,
    not_a_signing_key,
    refuse_version,
    require_version,
)

from .client import VaultClient
from .key_wrapper import TransitKey

KEY_TYPE = "ecdsa-p256"


def create_signing_key(client: VaultClient, key: TransitKey) -> str:
    """Create a P-256 key, and return its name with its version.

    Raises:
        SettingsError: The name has a version.
        KeyStateError: There is a key or an alias of this name.
        ProviderError: The server refused or failed.
    """
    refuse_version(key, key.version, chosen="a new key has the version 1")
    path = key.path("keys")
    try:
        # The server answers "done" for a key that is there, whatever its type.
        client.get(path, operation="read", key=str(key))
    except KeyNotFoundError:
        pass
    else:
        raise key_exists(key)
    client.post(path, {"type": KEY_TYPE}, operation="create", key=str(key))
    return str(key._replace(version="1"))


def signing_key(client: VaultClient, key: TransitKey) -> SigningKey:
    """Return the public key of the version that is named, or else of the newest.

    Raises:
        KeyStateError: It is not a P-256 signing key, or it has no such version.
        ProviderError: The server refused or failed.
    """
    data: Any = client.get(key.path("keys"), operation="read", key=str(key)).get("data")
    if not isinstance(data, dict) or data.get("type") != KEY_TYPE:
        raise not_a_signing_key(
            key, create=f"create one: vault write transit/keys/NAME type={KEY_TYPE}"
        )
    version = key.version or str(data.get("latest_version"))
    versions = data.get("keys")
    found = versions.get(version) if isinstance(versions, dict) else None
    if found is None:
        raise KeyStateError(
            f"the version {version} of the key {str(key)!r} is missing or below its minimum",
            hint="lower min_decryption_version of the key; a version that was trimmed is lost",
        )
    pem = found.get("public_key")
    public_key = der_of_pem(pem) if isinstance(pem, str) else None
    if public_key is None:
        raise incomplete_reply("public_key", Call("read", str(key), client.place))
    return SigningKey(str(key._replace(version=version)), public_key)


def sign_digest(client: VaultClient, key: TransitKey, digest: bytes) -> bytes:
    """Return the DER signature of a SHA-256 digest by the version that is named.

    Raises:
        SettingsError: The name has no version.
        KeyStateError: The key cannot sign, or the version is no longer allowed to.
        ProviderError: The server refused or failed.
    """
    hint = "write MOUNT/KEY@VERSION: after a rotation the newest version is another key"
    version = require_version(key, key.version, hint=hint)
    body = {
        "input": b64encode(digest).decode(),
        "prehashed": True,
        "marshaling_algorithm": "asn1",
        "key_version": int(version),
    }
    path = f"{key.path('sign')}/sha2-256"
    data: Any = client.post(path, body, operation="sign", key=str(key)).get("data")
    text = data.get("signature") if isinstance(data, dict) else None
    prefix = f"vault:v{version}:"
    if isinstance(text, str) and text.startswith(prefix):
        try:
            return b64decode(text.removeprefix(prefix), validate=True)
        except ValueError:
            pass
    raise incomplete_reply("signature", Call("sign", str(key), client.place))
