"""Decrypt and ReEncrypt."""

from dataclasses import dataclass
from typing import Any

from ksm_storage_emulators.aws_kms import rsa_cipher
from ksm_storage_emulators.aws_kms.authorization import hidden_ciphertext_key, refusal
from ksm_storage_emulators.aws_kms.crypto_operations import (
    ALGORITHMS,
    encode,
    refuse_context,
    require_algorithm,
    seal,
)
from ksm_storage_emulators.aws_kms.errors import AwsError, validation_error
from ksm_storage_emulators.aws_kms.keys import SYMMETRIC, KmsKey
from ksm_storage_emulators.aws_kms.operation import Operation, require_enabled
from ksm_storage_emulators.aws_kms.store import key_arn

MAX_CIPHERTEXT = 6144
_IGNORE_CIPHERTEXT = "IGNORE_CIPHERTEXT"


@dataclass(frozen=True, slots=True)
class _Opened:
    key: KmsKey
    plaintext: bytes
    material_id: str | None


@dataclass(frozen=True, slots=True)
class _Source:
    """The members that say what to decrypt; ReEncrypt names them differently."""

    key_member: str
    algorithm: str
    context: dict[str, str]
    action: str


def decrypt(operation: Operation) -> dict[str, Any]:
    """Decrypt with the named key, or the one that the ciphertext names.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
    """
    arguments = operation.arguments
    algorithm = arguments.choice("EncryptionAlgorithm", ALGORITHMS, default=SYMMETRIC)
    context = arguments.text_map("EncryptionContext")
    source = _Source("KeyId", algorithm, context, "kms:Decrypt")
    if _ignores_ciphertext(operation):
        _check_key_only(operation, source)
    opened = _open(operation, source)
    operation.stop_dry_run()
    reply = {
        "KeyId": operation.reply_arn(opened.key),
        "Plaintext": encode(operation.reply_plaintext(opened.plaintext)),
        "EncryptionAlgorithm": algorithm,
    }
    if opened.material_id is not None:
        reply["KeyMaterialId"] = opened.material_id
    return reply


def re_encrypt(operation: Operation) -> dict[str, Any]:
    """Decrypt and encrypt again without showing the plaintext.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ReEncrypt.html
    """
    arguments = operation.arguments
    algorithm = arguments.choice("SourceEncryptionAlgorithm", ALGORITHMS, default=SYMMETRIC)
    target = arguments.choice("DestinationEncryptionAlgorithm", ALGORITHMS, default=SYMMETRIC)
    context = arguments.text_map("SourceEncryptionContext")
    destination_context = arguments.text_map("DestinationEncryptionContext")
    source = _Source("SourceKeyId", algorithm, context, "kms:ReEncryptFrom")
    key = operation.key_or_alias("DestinationKeyId", action="kms:ReEncryptTo")
    require_enabled(key)
    if _ignores_ciphertext(operation):
        _check_key_only(operation, source)
    opened = _open(operation, source)
    blob = seal(operation, key, opened.plaintext, algorithm=target, context=destination_context)
    operation.stop_dry_run()
    reply = {
        "CiphertextBlob": encode(blob),
        "SourceKeyId": opened.key.arn,
        "KeyId": operation.reply_arn(key),
        "SourceEncryptionAlgorithm": algorithm,
        "DestinationEncryptionAlgorithm": target,
    }
    if opened.material_id is not None:
        reply["SourceKeyMaterialId"] = opened.material_id
    if key.symmetric:
        reply["DestinationKeyMaterialId"] = key.current.material_id
    return reply


def _open(operation: Operation, source: _Source) -> _Opened:
    blob = operation.arguments.blob("CiphertextBlob", max_length=MAX_CIPHERTEXT)
    if source.algorithm == SYMMETRIC:
        return _open_symmetric(operation, source, blob)
    refuse_context(source.context)
    if not operation.arguments.has(source.key_member):
        # RSA ciphertexts carry no key id.
        member = source.key_member[0].lower() + source.key_member[1:]
        raise validation_error(member, "Member must not be null")
    key = operation.key_or_alias(source.key_member, action=source.action)
    require_algorithm(key, source.algorithm)
    require_enabled(key)
    return _Opened(key, rsa_cipher.decrypt(key, blob, source.algorithm), None)


def _open_symmetric(operation: Operation, source: _Source, blob: bytes) -> _Opened:
    named = None
    if operation.arguments.has(source.key_member):
        named = operation.key_or_alias(source.key_member, action=source.action)
        require_algorithm(named, SYMMETRIC)
    ciphertext = operation.codec.parse(blob)
    if named is not None and named.key_id != ciphertext.key_id:
        text = "The key ID in the request does not identify a CMK that can perform this operation."
        raise AwsError("IncorrectKeyException", text)
    key = named or _key_of_ciphertext(operation, source, ciphertext.key_id)
    require_enabled(key)
    plaintext = operation.codec.open(key, ciphertext, source.context)
    return _Opened(key, plaintext, ciphertext.material_id)


def _key_of_ciphertext(operation: Operation, source: _Source, key_id: str) -> KmsKey:
    key = operation.store.find(operation.region, key_id)
    arn = key_arn(operation.region, key_id)
    if key is None or refusal(operation.caller, source.action, arn) is not None:
        # One text for all three causes: existence stays hidden.
        raise hidden_ciphertext_key(operation.caller, source.action)
    return key


def _ignores_ciphertext(operation: Operation) -> bool:
    modifiers = operation.arguments.text_list("DryRunModifiers")
    if any(m != _IGNORE_CIPHERTEXT for m in modifiers):
        constraint = f"Member must satisfy enum value set: [{_IGNORE_CIPHERTEXT}]"
        raise validation_error("dryRunModifiers", constraint)
    if modifiers and not operation.arguments.flag("DryRun"):
        text = "DryRunModifiers can only be specified when DryRun is true"
        raise AwsError("ValidationException", text)
    return bool(modifiers)


def _check_key_only(operation: Operation, source: _Source) -> None:
    key = operation.key_or_alias(source.key_member, action=source.action)
    require_algorithm(key, source.algorithm)
    require_enabled(key)
    operation.stop_dry_run()
