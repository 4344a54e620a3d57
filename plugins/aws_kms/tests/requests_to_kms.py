"""Requests to a KMS whose outcomes the documentation fixes, made with a client of boto3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

DEK = bytes(range(32))
CONTEXT = {"env": "prod", "app": "ksm"}
NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Kms:
    """Hold clients of one service: of its owner, in another region, and of weaker callers."""

    owner: Any
    elsewhere: Any
    unknown: Any
    wrong_secret: Any
    powerless: Any

    def key(self, **arguments: Any) -> str:
        """Return the ARN of a new key."""
        return str(self.owner.create_key(**arguments)["KeyMetadata"]["Arn"])

    def rsa_key(self) -> str:
        """Return the ARN of a new RSA key."""
        return self.key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")

    def wrapped(self, key: str) -> bytes:
        """Return a DEK wrapped under a key and the context."""
        reply = self.owner.encrypt(KeyId=key, Plaintext=DEK, EncryptionContext=CONTEXT)
        return bytes(reply["CiphertextBlob"])


def outcome(request: Callable[[Kms], object], kms: Kms) -> str:
    """Return what a service makes of a request: its own word, or an error's code."""
    try:
        return str(request(kms))
    except ClientError as exc:
        return str(exc.response["Error"]["Code"])


def _id_of(arn: str) -> str:
    # KMS takes the ARN as well; moto's server answers 500 to that in some operations.
    return arn.rpartition("/")[2]


def _decrypt(kms: Kms, key: str, blob: bytes, **more: Any) -> str:
    arguments = {"KeyId": key, "CiphertextBlob": blob, "EncryptionContext": CONTEXT, **more}
    return "opens" if kms.owner.decrypt(**arguments)["Plaintext"] == DEK else "another plaintext"


def _disabled(kms: Kms) -> tuple[str, bytes]:
    key = kms.key()
    blob = kms.wrapped(key)
    kms.owner.disable_key(KeyId=_id_of(key))
    return key, blob


def _pending(kms: Kms) -> tuple[str, bytes]:
    key = kms.key()
    blob = kms.wrapped(key)
    kms.owner.schedule_key_deletion(KeyId=_id_of(key), PendingWindowInDays=7)
    return key, blob


def _round_trip(kms: Kms) -> str:
    key = kms.key()
    return _decrypt(kms, key, kms.wrapped(key))


def _encrypt_disabled(kms: Kms) -> object:
    return kms.wrapped(_disabled(kms)[0]) and "encrypts"


def _encrypt_pending(kms: Kms) -> object:
    return kms.wrapped(_pending(kms)[0]) and "encrypts"


def _wrong_key(kms: Kms) -> str:
    return _decrypt(kms, kms.key(), kms.wrapped(kms.key()))


def _tampered(kms: Kms) -> str:
    key = kms.key()
    blob = kms.wrapped(key)
    return _decrypt(kms, key, blob[:-1] + bytes([blob[-1] ^ 1]))


def _tampered_header(kms: Kms) -> str:
    key = kms.key()
    blob = kms.wrapped(key)
    return _decrypt(kms, key, bytes([blob[0] ^ 1]) + blob[1:])


def _junk(kms: Kms) -> str:
    return _decrypt(kms, kms.key(), b"no ciphertext at all")


def _in_context(context: Mapping[str, str]) -> Callable[[Kms], str]:
    def request(kms: Kms) -> str:
        key = kms.key()
        return _decrypt(kms, key, kms.wrapped(key), EncryptionContext=context)

    return request


def _alias(kms: Kms) -> str:
    key = kms.key()
    kms.owner.create_alias(AliasName="alias/differential", TargetKeyId=key)
    reply = kms.owner.encrypt(KeyId="alias/differential", Plaintext=DEK)
    return "names the key" if reply["KeyId"] == key else "names the alias"


def _encrypt_with(key: str) -> Callable[[Kms], object]:
    return lambda kms: kms.wrapped(key) and "encrypts"


def _rsa_sizes(kms: Kms) -> str:
    algorithm = {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    key = kms.rsa_key()
    blob = kms.owner.encrypt(KeyId=key, Plaintext=DEK, **algorithm)["CiphertextBlob"]
    opened = kms.owner.decrypt(KeyId=key, CiphertextBlob=blob, **algorithm)["Plaintext"]
    return f"{len(blob)} bytes that open" if opened == DEK else "another plaintext"


def _rsa_too_long(kms: Kms) -> str:
    arguments = {"Plaintext": bytes(191), "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    return str(kms.owner.encrypt(KeyId=kms.rsa_key(), **arguments) and "encrypts")


def _rsa_with_context(kms: Kms) -> str:
    arguments = {"EncryptionContext": CONTEXT, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    return str(kms.owner.encrypt(KeyId=kms.rsa_key(), Plaintext=DEK, **arguments) and "encrypts")


def _rsa_as_symmetric(kms: Kms) -> object:
    return kms.owner.encrypt(KeyId=kms.rsa_key(), Plaintext=DEK) and "encrypts"


def _symmetric_as_rsa(kms: Kms) -> object:
    algorithm = "RSAES_OAEP_SHA_256"
    key = kms.key()
    return kms.owner.encrypt(KeyId=key, Plaintext=DEK, EncryptionAlgorithm=algorithm) and "encrypts"


def _dry_run(kms: Kms) -> object:
    return kms.owner.encrypt(KeyId=kms.key(), Plaintext=DEK, DryRun=True) and "encrypts"


def _too_long(kms: Kms) -> object:
    return kms.owner.encrypt(KeyId=kms.key(), Plaintext=bytes(4097)) and "encrypts"


def _other_region(kms: Kms) -> object:
    return kms.elsewhere.encrypt(KeyId=kms.key(), Plaintext=DEK) and "encrypts"


def _replica(kms: Kms) -> str:
    key = kms.key(MultiRegion=True)
    blob = kms.wrapped(key)
    region = kms.elsewhere.meta.region_name
    made = kms.owner.replicate_key(KeyId=_id_of(key), ReplicaRegion=region)
    replica = made["ReplicaKeyMetadata"]["Arn"]
    arguments = {"CiphertextBlob": blob, "EncryptionContext": CONTEXT}
    reply = kms.elsewhere.decrypt(KeyId=replica, **arguments)
    return "opens" if reply["Plaintext"] == DEK else "another plaintext"


def _as(caller: str) -> Callable[[Kms], object]:
    def request(kms: Kms) -> object:
        return getattr(kms, caller).encrypt(KeyId=kms.key(), Plaintext=DEK) and "encrypts"

    return request


REQUESTS: Mapping[str, Callable[[Kms], object]] = {
    "encrypt, decrypt": _round_trip,
    "encrypt, disabled key": _encrypt_disabled,
    "decrypt, disabled key": lambda kms: _decrypt(kms, *_disabled(kms)),
    "encrypt, key pending deletion": _encrypt_pending,
    "decrypt, key pending deletion": lambda kms: _decrypt(kms, *_pending(kms)),
    "decrypt, another key named": _wrong_key,
    "decrypt, last bit flipped": _tampered,
    "decrypt, first bit flipped": _tampered_header,
    "decrypt, junk": _junk,
    "decrypt, another value in the context": _in_context({**CONTEXT, "env": "test"}),
    "decrypt, border of name and value moved": _in_context({"app": "ksm", "en": "vprod"}),
    "decrypt, no context": _in_context({}),
    "encrypt, alias": _alias,
    "encrypt, no such key": _encrypt_with(NOBODY),
    "encrypt, no such alias": _encrypt_with("alias/nobody"),
    "encrypt, ARN of another region": _other_region,
    "RSA, encrypt, decrypt": _rsa_sizes,
    "RSA, plaintext of 191 bytes": _rsa_too_long,
    "RSA, encryption context": _rsa_with_context,
    "RSA, no algorithm named": _rsa_as_symmetric,
    "AES, RSA algorithm named": _symmetric_as_rsa,
    "encrypt, dry run": _dry_run,
    "encrypt, 4097 bytes": _too_long,
    "decrypt through a replica": _replica,
    "unknown access key": _as("unknown"),
    "wrong secret access key": _as("wrong_secret"),
    "caller without permissions": _as("powerless"),
}
