"""Sign with a P-256 key in KMS: the device key that never leaves it.

Source: AWS KMS API Reference, "GetPublicKey", "Sign", "CreateKey" and "CreateAlias".
"""

from __future__ import annotations

from ksm_storage import plugin as kit

from .hooks import KeyName, key_covers
from .key_wrapper import KmsClient, request_id_of

SPEC, USAGE = "ECC_NIST_P256", "SIGN_VERIFY"
CREATE = f"create one: aws kms create-key --key-spec {SPEC} --key-usage {USAGE}"


def create_signing_key(client: KmsClient, name: KeyName) -> str:
    """Create a signing key under an alias that is free, and return the key's ARN.

    Raises:
        SettingsError: The name is not an alias.
        KeyStateError: There is a key or an alias of this name.
        ProviderError: KMS refused or failed.
    """
    if not name.is_alias:
        raise kit.SettingsError(
            "KMS chooses the id of a new key",
            hint="name a new alias: aws-kms://alias/NAME, or the ARN of an alias",
        )
    try:
        client.ask("DescribeKey", lambda kms: kms.describe_key(KeyId=str(name)))
    except kit.KeyNotFoundError:
        pass
    else:
        raise kit.key_exists(name)
    request = {"KeySpec": SPEC, "KeyUsage": USAGE, "Description": "device key of ksm-storage"}
    reply = client.ask("CreateKey", lambda kms: kms.create_key(**request))
    arn = reply.get("KeyMetadata", {}).get("Arn")
    if not isinstance(arn, str):
        raise kit.incomplete_reply("KeyMetadata", client.call("CreateKey"))
    alias = {"AliasName": name.resource, "TargetKeyId": arn}
    try:
        client.ask("CreateAlias", lambda kms: kms.create_alias(**alias))
    except kit.ProviderError as exc:
        exc.hint = f"the key {arn} was created without an alias: name it with --device-key"
        raise
    return arn


def signing_key(client: KmsClient, name: KeyName) -> kit.SigningKey:
    """Return the public key and the ARN of a signing key.

    Raises:
        KeyStateError: It is disabled, or not a P-256 signing key.
        ProviderError: KMS refused or failed.
    """
    try:
        reply = client.ask("GetPublicKey", lambda kms: kms.get_public_key(KeyId=str(name)))
    except kit.ProviderError as exc:
        if exc.retryable or type(exc) is not kit.ProviderError:
            raise
        # What KMS answers for a key that has no public half.
        raise kit.not_a_signing_key(name, create=CREATE) from exc
    if (reply.get("KeySpec"), reply.get("KeyUsage")) != (SPEC, USAGE):
        raise kit.not_a_signing_key(name, create=CREATE)
    arn, public_key = reply.get("KeyId"), reply.get("PublicKey")
    if not isinstance(arn, str) or not isinstance(public_key, bytes):
        raise kit.incomplete_reply("PublicKey", client.call("GetPublicKey"))
    return kit.SigningKey(arn, public_key)


def sign_digest(client: KmsClient, name: KeyName, digest: bytes) -> bytes:
    """Return the DER signature of a SHA-256 digest, from one request that is not sent again.

    Raises:
        KeyStateError: The key is disabled, or cannot sign.
        ProviderError: KMS refused or failed, or signed with another key.
    """
    request = {
        "KeyId": str(name),
        "Message": digest,
        "MessageType": "DIGEST",
        "SigningAlgorithm": "ECDSA_SHA_256",
    }
    reply = client.ask("Sign", lambda kms: kms.sign(**request))
    arn, signature = reply.get("KeyId"), reply.get("Signature")
    if not isinstance(arn, str) or not isinstance(signature, bytes):
        raise kit.incomplete_reply("Signature", client.call("Sign"))
    if not key_covers(str(name), arn):
        raise kit.other_key_error("KMS", "signed with", arn, name, request_id=request_id_of(reply))
    return signature
