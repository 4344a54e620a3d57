"""Probe the permissions on a key: dry runs of what uses it, and calls that only describe it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import (
    DecryptionError,
    KeyStateError,
    PermissionDeniedError,
    PermissionProbe,
)

from .client import KmsClient
from .key_names import KeyName
from .options import SYMMETRIC
from .permissions import statement

if TYPE_CHECKING:
    from ksm_storage.plugin import Need

# Every DEK is wrapped with it, so that a policy with a condition on it lets the probe through.
PURPOSE = {"ksm-storage.purpose": "wrap-dek"}

_TOO_OLD = "the installed AWS client knows no dry run of it: upgrade botocore"
_NO_DRY_RUN = "the endpoint looks for a ciphertext in spite of the dry run: it is not KMS"
_UNRESOLVED = "KMS takes no alias for it, and resolving one takes kms:DescribeKey"


def probe_permissions(
    client: KmsClient, name: KeyName, algorithm: str
) -> Sequence[PermissionProbe]:
    """Return what the caller may do with the key; nothing of anybody's is decrypted.

    Raises:
        ProviderError: KMS could not be asked.
    """
    return _Prober(client, name, algorithm).probes()


class _Prober:
    """Ask KMS about one key, one permission at a time."""

    def __init__(self, client: KmsClient, name: KeyName, algorithm: str) -> None:
        self._client = client
        self._name = name
        self._algorithm = algorithm
        # What an alias stands for, once KMS has told.
        self._resolved = name
        meta = client.meta(str(name))
        self._place = {"partition": meta.partition, "region": meta.region_name}

    def probes(self) -> list[PermissionProbe]:
        # First, so that the statements of the others can name what an alias stands for.
        describing = self._probe("DescribeKey", "describe", self._describe)
        probes = [
            self._probe("Decrypt", "open", self._decrypt),
            self._probe("Encrypt", "seal", self._encrypt),
            describing,
        ]
        if self._algorithm == SYMMETRIC:
            probes.append(self._probe("GetKeyRotationStatus", "describe", self._rotation))
        return probes

    def _probe(
        self, operation: str, need: Need, send: Callable[[Any], str | None]
    ) -> PermissionProbe:
        granted: bool | None
        try:
            reason = self._client.ask(operation, str(self._name), send)
            granted = True if reason is None else None
        except PermissionDeniedError as exc:
            granted, reason = False, str(exc)
        except KeyStateError as exc:
            granted, reason = None, str(exc)
        except DecryptionError:
            granted, reason = None, _NO_DRY_RUN
        permission = f"kms:{operation}"
        grant = None if granted else statement(permission, self._resolved, **self._place)
        return PermissionProbe(permission, need, granted, reason, grant)

    # Each of these returns why it cannot be told, or None; a refusal is the client's exception.

    def _decrypt(self, kms: Any) -> str | None:
        modifiers = ["IGNORE_CIPHERTEXT"]
        return _dry_run(kms, "Decrypt", {**self._request(), "DryRunModifiers": modifiers})

    def _encrypt(self, kms: Any) -> str | None:
        return _dry_run(kms, "Encrypt", {**self._request(), "Plaintext": bytes(32)})

    def _describe(self, kms: Any) -> str | None:
        reply = kms.describe_key(KeyId=str(self._name))
        self._resolved = KeyName.parse(str(reply["KeyMetadata"]["Arn"]))
        return None

    def _rotation(self, kms: Any) -> str | None:
        if self._resolved.is_alias:
            return _UNRESOLVED
        kms.get_key_rotation_status(KeyId=str(self._resolved))
        return None

    def _request(self) -> dict[str, object]:
        context = {"EncryptionContext": PURPOSE} if self._algorithm == SYMMETRIC else {}
        return {
            "KeyId": str(self._name),
            "EncryptionAlgorithm": self._algorithm,
            "DryRun": True,
            **context,
        }


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
