"""What status and doctor ask: the key's state, who the caller is, and what the caller may do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from ksm_storage import plugin as kit

from .hooks import SYMMETRIC, KeyName, key_covers
from .key_wrapper import KmsClient

# Source: AWS KMS Developer Guide, "Key states of AWS KMS keys": an updating key is in full use.
STATES: Mapping[str, kit.KeyState] = {
    "Enabled": "enabled",
    "Updating": "enabled",
    "Disabled": "disabled",
    "PendingDeletion": "pending-deletion",
    "PendingReplicaDeletion": "pending-deletion",
    "PendingImport": "unusable",
    "Creating": "unusable",
    "Unavailable": "unusable",
}

# Every DEK is wrapped with it, so that a policy with a condition on it lets the probe through.
PURPOSE = {"ksm-storage.purpose": "wrap-dek"}

_TOO_OLD = "the installed AWS client does not support a dry run of it: upgrade botocore"
_NO_DRY_RUN = "the endpoint ignores the dry run and is not KMS"
_UNRESOLVED = "KMS takes no alias for it, and resolving the alias needs kms:DescribeKey"


def describe_key(client: KmsClient, name: KeyName) -> kit.KeyDescription:
    """Return the description of a key, with the rotation only where the caller may see it."""
    reply = client.ask("DescribeKey", lambda kms: kms.describe_key(KeyId=str(name)))
    metadata: Mapping[str, Any] = reply.get("KeyMetadata", {})
    arn, word, algorithm = (_text(metadata, part) for part in ("Arn", "KeyState", "KeySpec"))
    if arn is None:
        raise kit.incomplete_reply("Arn", client.call("DescribeKey"))
    if not key_covers(str(name), arn):
        raise kit.ProviderError(f"KMS described the key {arn!r} instead of {str(name)!r}")
    deletion = metadata.get("DeletionDate")
    if deletion is None and metadata.get("ExpirationModel") == "KEY_MATERIAL_EXPIRES":
        # Imported key material is deleted then, and comes back only if its owner imports it anew.
        deletion = metadata.get("ValidTo")
    rotates = algorithm == SYMMETRIC and metadata.get("Origin") == "AWS_KMS"
    return kit.KeyDescription(
        key_id=arn,
        state=STATES.get(word or "", "unknown"),
        state_name=word,
        deletion=deletion if isinstance(deletion, datetime) else None,
        algorithm=algorithm,
        protection=_text(metadata, "Origin"),
        current_version=_text(metadata, "CurrentKeyMaterialId"),
        rotation=_rotation(client, arn) if rotates else None,
        public=algorithm != SYMMETRIC and metadata.get("KeyUsage") == "ENCRYPT_DECRYPT",
    )


def describe_access(client: KmsClient) -> Mapping[str, str]:
    """Return the labels of the access; the identity is left out where STS cannot be reached."""
    from .direct_call import credential_source

    labels: dict[str, object] = {}
    with closing(client.sts()) as sts:
        try:
            reply = sts.ask("GetCallerIdentity", lambda asked: asked.get_caller_identity())
            labels = {"identity": reply.get("Arn"), "account": reply.get("Account")}
        except kit.UnavailableError:
            # A network that has an endpoint of KMS need not have one of STS.
            pass
    meta = client.ask("Meta", lambda kms: kms.meta)
    labels |= {"region": meta.region_name, "endpoint": meta.endpoint_url}
    labels["first unwrap"] = kit.first_unwrap(
        lambda: f"credentials of the {credential_source(client.access)}", client="the AWS client"
    )
    return {label: value for label, value in labels.items() if isinstance(value, str) and value}


class Prober:
    """Ask KMS about one key, one permission at a time; nothing of anybody's is decrypted."""

    def __init__(self, client: KmsClient, name: KeyName, algorithm: str) -> None:
        self._client = client
        self._name = name
        self._algorithm = algorithm
        # What an alias stands for and what the key is for, once KMS has told.
        self._resolved = name
        self._signs = False

    def probes(self) -> list[kit.PermissionProbe]:
        """Return what the caller may do with the key."""
        # First, so that the statements of the others can name what an alias stands for.
        describing = self._probe("DescribeKey", "describe", self._describe)
        if self._signs:
            return [self._probe("Sign", "sign", self._sign), describing]
        opening = self._probe("Decrypt", "open", self._decrypt)
        sealing = self._probe("Encrypt", "seal", self._encrypt)
        if self._algorithm != SYMMETRIC:
            return [opening, sealing, describing]
        rotation = self._probe("GetKeyRotationStatus", "describe", self._rotation)
        return [opening, sealing, describing, rotation]

    def _probe(
        self, operation: str, need: kit.Need, send: Callable[[Any], str | None]
    ) -> kit.PermissionProbe:
        granted: bool | None
        try:
            reason = self._client.ask(operation, send)
            granted = True if reason is None else None
        except kit.PermissionDeniedError as exc:
            granted, reason = False, str(exc)
        except kit.KeyStateError as exc:
            granted, reason = None, str(exc)
        except kit.DecryptionError:
            granted, reason = None, _NO_DRY_RUN
        grant = None if granted else self._statement(f"kms:{operation}")
        return kit.PermissionProbe(f"kms:{operation}", need, granted, reason, grant)

    # Each of these returns why it cannot be told, or None; a refusal is the client's exception.

    def _decrypt(self, kms: Any) -> str | None:
        modifiers = ["IGNORE_CIPHERTEXT"]
        return _dry_run(kms, "Decrypt", {**self._request(), "DryRunModifiers": modifiers})

    def _encrypt(self, kms: Any) -> str | None:
        return _dry_run(kms, "Encrypt", {**self._request(), "Plaintext": bytes(32)})

    def _sign(self, kms: Any) -> str | None:
        request = {"Message": bytes(32), "MessageType": "DIGEST"}
        named = {"KeyId": str(self._name), "SigningAlgorithm": "ECDSA_SHA_256", "DryRun": True}
        return _dry_run(kms, "Sign", {**request, **named})

    def _describe(self, kms: Any) -> str | None:
        reply = kms.describe_key(KeyId=str(self._name))
        self._signs = reply["KeyMetadata"].get("KeyUsage") == "SIGN_VERIFY"
        self._resolved = KeyName.parse(str(reply["KeyMetadata"]["Arn"]))
        return None

    def _rotation(self, kms: Any) -> str | None:
        if self._resolved.is_alias:
            return _UNRESOLVED
        kms.get_key_rotation_status(KeyId=str(self._resolved))
        return None

    def _request(self) -> dict[str, object]:
        context = {"EncryptionContext": PURPOSE} if self._algorithm == SYMMETRIC else {}
        named = {"KeyId": str(self._name), "EncryptionAlgorithm": self._algorithm}
        return {**named, "DryRun": True, **context}

    def _statement(self, permission: str) -> str:
        """Return the policy statement that grants a permission on the key."""
        name = self._resolved
        if name.region is None:
            meta = self._client.ask("Meta", lambda kms: kms.meta)
            name = name._replace(partition=meta.partition, region=meta.region_name, account="*")
        resource = str(name._replace(resource="*") if name.is_alias else name)
        granted: dict[str, object] = {"Effect": "Allow", "Action": permission}
        granted["Resource"] = resource
        if name.is_alias:
            # These permissions do not take an alias as a resource, so it becomes a condition.
            aliases = {"kms:ResourceAliases": name.resource}
            granted["Condition"] = {"ForAnyValue:StringEquals": aliases}
        return json.dumps(granted)


def _dry_run(kms: Any, operation: str, request: dict[str, object]) -> str | None:
    from botocore.exceptions import ClientError

    known = kms.meta.service_model.operation_model(operation).input_shape.members
    if not request.keys() <= known.keys():
        return _TOO_OLD
    try:
        getattr(kms, operation.lower())(**request)
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") != "DryRunOperationException":
            raise
    return None


def _rotation(client: KmsClient, arn: str) -> str | None:
    try:
        # By the ARN: an alias is not accepted here.
        reply = client.ask(
            "GetKeyRotationStatus", lambda kms: kms.get_key_rotation_status(KeyId=arn)
        )
    except (kit.PermissionDeniedError, kit.KeyStateError):
        return None
    if reply.get("KeyRotationEnabled") is not True:
        return None
    days, due = reply.get("RotationPeriodInDays"), reply.get("NextRotationDate")
    words = f"every {days} days" if isinstance(days, int) else "automatic"
    return f"{words}, next on {due:%Y-%m-%d}" if isinstance(due, datetime) else words


def _text(metadata: Mapping[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    return value if isinstance(value, str) and value else None
