"""Probe the permissions on a key with a throw-away key: nothing of anybody's is unwrapped."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import (
    DEK_BYTES,
    Aad,
    DecryptionError,
    KeyStateError,
    PermissionDeniedError,
    PermissionProbe,
    WrappedDek,
)

from .access import caller_claims
from .client import VaultClient
from .description import key_bundle
from .key_names import KeyName
from .key_wrapper import IV_BYTES, TAG_BYTES, AzureKeyWrapper, aes_body, encoded
from .options import AES, RSA
from .permissions import policy_command, role_command

if TYPE_CHECKING:
    from ksm_storage.plugin import Need

_AAD = Aad({"ksm-storage.purpose": "probe"})
_SUGGESTED = (
    "the vault does not refuse the call, which suggests that it is granted; a file proves it: "
    "ksm-storage check"
)


class Prober:
    """Ask a vault about one key, one permission at a time."""

    def __init__(
        self, wrapper: AzureKeyWrapper, client: VaultClient, name: KeyName, algorithm: str
    ) -> None:
        self._wrapper = wrapper
        self._client = client
        self._name = name
        self._algorithm = algorithm
        # A ciphertext of a throw-away key, as soon as there is one.
        self._wrapped: WrappedDek | None = None
        self._object_id = "OBJECT_ID"

    def probes(self) -> list[PermissionProbe]:
        """Return what the caller may do with the key.

        Raises:
            ProviderError: The vault could not be asked.
        """
        self._object_id = str(caller_claims(self._client, self._name).get("oid") or "OBJECT_ID")
        seal, opening = (
            ("encrypt", "decrypt") if self._algorithm == AES else ("wrapKey", "unwrapKey")
        )
        describing = [self._probe("get", "describe", self._get)]
        if not self._name.is_hsm:
            describing.append(self._probe("getrotationpolicy", "describe", self._rotation_policy))
        sealing = self._probe(seal, "seal", self._wrap)
        return [self._probe(opening, "open", self._unwrap), sealing, *describing]

    def _probe(self, operation: str, need: Need, ask: Callable[[], str | None]) -> PermissionProbe:
        from .errors import Call

        permission = Call(operation, self._name).permission
        try:
            reason = ask()
        except KeyStateError as exc:
            return PermissionProbe(permission, need, None, str(exc))
        except PermissionDeniedError as exc:
            if exc.permission is None:
                # The network is refused, not the caller.
                raise
            return self._missing(operation, need, exc)
        return PermissionProbe(permission, need, True if reason is None else None, reason)

    def _missing(self, operation: str, need: Need, exc: PermissionDeniedError) -> PermissionProbe:
        permission = str(exc.permission)
        command = policy_command if permission.startswith("keys/") else role_command
        grant = command(operation, self._name, object_id=self._object_id)
        return PermissionProbe(permission, need, False, str(exc), grant)

    # Each of these returns why it cannot be told, or None; a refusal is the client's exception.

    def _get(self) -> str | None:
        bundle, version = key_bundle(self._client, self._name)
        if self._algorithm == RSA:
            self._wrapped = _wrapped_here(bundle["key"], version)
        return None

    def _rotation_policy(self) -> str | None:
        path = f"/keys/{self._name.name}/rotationpolicy"
        self._client.read("getrotationpolicy", self._name, path=path)
        return None

    def _wrap(self) -> str | None:
        self._wrapped = self._wrapper.wrap(os.urandom(DEK_BYTES), aad=_AAD)
        return None

    def _unwrap(self) -> str | None:
        if self._wrapped is not None:
            self._wrapper.unwrap(self._wrapped, aad=_AAD)
            return None
        # Nothing says whether the vault looks at the ciphertext or at the caller first.
        with suppress(DecryptionError):
            self._client.call(*self._made_up())
        return _SUGGESTED

    def _made_up(self) -> tuple[str, KeyName, dict[str, str]]:
        if self._algorithm == AES:
            ciphertext = os.urandom(IV_BYTES + DEK_BYTES + TAG_BYTES)
            return "decrypt", self._name, aes_body(ciphertext, _AAD)
        return "unwrapKey", self._name, {"alg": RSA, "value": encoded(os.urandom(256))}


def _wrapped_here(web_key: Any, version: KeyName) -> WrappedDek | None:
    import base64

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        exponent, modulus = (
            int.from_bytes(base64.urlsafe_b64decode(web_key[part] + "=="), "big")
            for part in ("e", "n")
        )
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (LookupError, ValueError, TypeError):
        return None
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return WrappedDek(str(version), RSA, key.encrypt(os.urandom(DEK_BYTES), oaep))
