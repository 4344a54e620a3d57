"""Keys with their versions, and what a version permits at a given time."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ksm_storage_emulators.azure_key_vault.errors import VaultError, bad_parameter
from ksm_storage_emulators.json_web_token import encode

RSA_OPERATIONS = ("encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey")
EC_OPERATIONS = ("sign", "verify")
OCT_OPERATIONS = ("encrypt", "decrypt", "wrapKey", "unwrapKey")
# Outside nbf and exp these still work:
# https://learn.microsoft.com/en-us/azure/key-vault/keys/about-keys-details
RECOVERING = frozenset({"decrypt", "unwrapKey", "verify"})

# What a key has until a policy is set: a notice before an expiry, and no rotation.
# https://learn.microsoft.com/en-us/azure/key-vault/keys/how-to-configure-key-rotation
UNROTATED: Mapping[str, Any] = {
    "lifetimeActions": [
        {"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}},
    ],
    "attributes": {},
}

RETENTION_SECONDS = 90 * 86_400


@dataclass(slots=True)
class KeyVersion:
    """One version: its material and its attributes."""

    kid: str
    kty: str
    material: RSAPrivateKey | bytes = field(repr=False)
    operations: tuple[str, ...]
    created: int
    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None
    ec_key: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)

    @property
    def version(self) -> str:
        """The last part of the key id."""
        return self.kid.rpartition("/")[2]

    def require(self, operation: str, *, now: float) -> None:
        """Raise unless the operation is permitted at that time."""
        if operation not in self.operations:
            text = f"Operation {operation} is not permitted on this key."
            raise VaultError("Forbidden", text, inner="KeyOperationForbidden")
        if not self.enabled:
            text = f"Operation {operation} is not allowed on a disabled key."
            raise VaultError("Forbidden", text, inner="KeyDisabled")
        if operation in RECOVERING:
            return
        if self.not_before is not None and now < self.not_before:
            text = f"Operation {operation} is not allowed on a key that is not yet valid."
            raise VaultError("Forbidden", text, inner="KeyNotYetValid")
        if self.expires is not None and now >= self.expires:
            text = f"Operation {operation} is not allowed on an expired key."
            raise VaultError("Forbidden", text, inner="KeyExpired")

    def bundle(self) -> dict[str, Any]:
        """Return the public part and the attributes, as `get` shows them."""
        web_key: dict[str, Any] = {
            "kid": self.kid,
            "kty": self.kty,
            "key_ops": list(self.operations),
        }
        if isinstance(self.material, RSAPrivateKey):
            numbers = self.material.public_key().public_numbers()
            web_key |= {"n": _number(numbers.n), "e": _number(numbers.e)}
        if self.ec_key is not None:
            point = self.ec_key.public_key().public_numbers()
            x, y = (encode(each.to_bytes(32, "big")) for each in (point.x, point.y))
            web_key |= {"crv": "P-256", "x": x, "y": y}
        return {"key": web_key, "attributes": self._attributes()}

    def _attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            "enabled": self.enabled,
            "created": self.created,
            "updated": self.created,
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": 90,
        }
        if self.not_before is not None:
            attributes["nbf"] = self.not_before
        if self.expires is not None:
            attributes["exp"] = self.expires
        return attributes


@dataclass(slots=True)
class VaultKey:
    """A key: its versions, the newest last, and whether it is deleted."""

    name: str
    versions: list[KeyVersion]
    size: int
    deleted_at: float | None = None
    rotation_policy: dict[str, Any] = field(default_factory=lambda: dict(UNROTATED))

    @property
    def newest(self) -> KeyVersion:
        """The version that a key id without version means."""
        return self.versions[-1]


def new_version(
    base: str, *, kty: str, size: int, now: float, operations: tuple[str, ...] | None
) -> KeyVersion:
    """Return a version with fresh material; `base` is the key id without version."""
    material: RSAPrivateKey | bytes
    default: tuple[str, ...]
    ec_key = None
    if kty in ("EC", "EC-HSM") and size == 256:
        material, ec_key, default = b"", ec.generate_private_key(ec.SECP256R1()), EC_OPERATIONS
    elif kty in ("RSA", "RSA-HSM") and size in (2048, 3072, 4096):
        material = rsa.generate_private_key(public_exponent=65537, key_size=size)
        default = RSA_OPERATIONS
    elif kty == "oct-HSM" and size in (128, 192, 256):
        material = os.urandom(size // 8)
        default = OCT_OPERATIONS
    else:
        raise bad_parameter("Property has invalid value: kty or key_size.")
    return KeyVersion(
        kid=f"{base}/{uuid.uuid4().hex}",
        kty=kty,
        material=material,
        operations=default if operations is None else operations,
        created=int(now),
        ec_key=ec_key,
    )


def _number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))
