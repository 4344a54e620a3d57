"""Sign with a P-256 key of a vault: the device key that never leaves it.

Source: OCI API Reference, Key Management Service, "SignDataDetails" and "KeyVersion". It does not
say in which form the service returns a signature: both forms in use are read.
"""

from __future__ import annotations

from contextlib import closing

from ksm_storage import plugin as kit

from .client import VaultClient
from .hooks import NAMES, key_covers
from .key_wrapper import decoded_member, key_of

ALGORITHM = "ECDSA_SHA_256"
CREATE = (
    "create one: oci kms management key create --endpoint MANAGEMENT_ENDPOINT --compartment-id "
    'OCID --display-name device --key-shape \'{"algorithm":"ECDSA","length":32,'
    '"curveId":"NIST_P256"}\''
)


def signing_key(client: VaultClient) -> kit.SigningKey:
    """Return the public key of the version that is named, or else of the current one.

    Raises:
        KeyStateError: It is not a P-256 key.
        ProviderError: The vault refused or failed, or showed another key.
    """
    name = client.name
    with closing(client.management()) as management:
        version = name.version
        if version is None:
            current = management.call("get_key", {"key_id": name.key})
            version = current.optional_text("current_key_version") or ""
        details = {"key_id": name.key, "key_version_id": version}
        reply = management.call("get_key_version", details)
    resolved = NAMES.find(f"{name.key}/{reply.optional_text('id')}")
    if resolved is None or not key_covers(str(name), str(resolved)):
        raise kit.ProviderError(
            f"the vault showed another key version than {version!r}",
            hint="check the option 'management_endpoint': the service itself does not do this",
            request_id=reply.request_id,
        )
    der = kit.der_of_pem(reply.optional_text("public_key") or "")
    # Keys on other curves, and RSA keys, have public keys too.
    if der is None or kit.public_key_of_point(der[-65:]) != der:
        raise kit.not_a_signing_key(name, create=CREATE)
    return kit.SigningKey(str(resolved), der)


def sign_digest(client: VaultClient, digest: bytes) -> bytes:
    """Return the DER signature of a SHA-256 digest, from one request that is not sent again.

    Raises:
        SettingsError: The name has no version.
        KeyStateError: The key is disabled, or cannot sign.
        ProviderError: The vault refused or failed, or signed with another key.
    """
    name = client.name
    hint = "add /ocid1.keyversion...: after a rotation the current one is another key"
    kit.require_version(name, name.version, hint=hint)
    reply = client.call("sign", request_to_sign(name, digest))
    signature = decoded_member(reply, "signature")
    key = key_of(reply, name)
    if key is None or not key_covers(str(name), str(key)):
        raise kit.ProviderError(
            f"the vault signed with another key than {str(name)!r}",
            hint="check the endpoint: the service itself does not do this",
            request_id=reply.request_id,
        )
    return kit.der_signature(signature) or signature


def request_to_sign(name: kit.KeyName, digest: bytes) -> dict[str, object]:
    """Return the members of a request to sign a digest."""
    from base64 import b64encode

    details: dict[str, object] = {
        "key_id": name.key,
        "message": b64encode(digest).decode(),
        "message_type": "DIGEST",
        "signing_algorithm": ALGORITHM,
    }
    if name.version is not None:
        details["key_version_id"] = name.version
    return details
