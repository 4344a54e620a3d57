"""Keys, their versions and the states of these."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ksm_storage_emulators.gcp_kms.errors import GcpError

_RING = r"projects/[^/]+/locations/[^/]+/keyRings/[A-Za-z0-9_-]{1,63}"

_KEY = rf"{_RING}/cryptoKeys/[A-Za-z0-9_-]{{1,63}}"

_FORMS = {
    "KeyRing": re.compile(_RING),
    "CryptoKey": re.compile(_KEY),
    "CryptoKeyVersion": re.compile(rf"{_KEY}/cryptoKeyVersions/[1-9][0-9]*"),
}

# https://cloud.google.com/kms/docs/algorithms
SYMMETRIC = "GOOGLE_SYMMETRIC_ENCRYPTION"
RAW_BYTES = {"AES_128_GCM": 16, "AES_256_GCM": 32, "AES_256_CBC": 32, "AES_256_CTR": 32}
RSA_FORMS = {
    f"RSA_DECRYPT_OAEP_{bits}_{digest}": (bits, digest)
    for bits, digest in [
        (2048, "SHA256"),
        (3072, "SHA256"),
        (4096, "SHA256"),
        (4096, "SHA512"),
        (2048, "SHA1"),
        (3072, "SHA1"),
        (4096, "SHA1"),
    ]
}
EC_SIGN = "EC_SIGN_P256_SHA256"
PURPOSES = {
    SYMMETRIC: "ENCRYPT_DECRYPT",
    **dict.fromkeys(RAW_BYTES, "RAW_ENCRYPT_DECRYPT"),
    **dict.fromkeys(RSA_FORMS, "ASYMMETRIC_DECRYPT"),
    EC_SIGN: "ASYMMETRIC_SIGN",
}

# https://cloud.google.com/kms/docs/destroy-restore, the default for new keys.
DESTROY_AFTER_SECONDS = 30 * 24 * 3600


class State(StrEnum):
    """The states of a version that this emulator has: https://cloud.google.com/kms/docs/key-states."""

    PENDING_GENERATION = "PENDING_GENERATION"
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DESTROY_SCHEDULED = "DESTROY_SCHEDULED"
    DESTROYED = "DESTROYED"


@dataclass(slots=True)
class Version:
    """One version of a key with its material, which is gone once it is destroyed."""

    name: str
    algorithm: str
    secret: bytes = field(repr=False)
    private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = field(repr=False)
    protection_level: str = "SOFTWARE"
    state: State = State.ENABLED
    destroy_at: float | None = None
    generated_at: float = 0

    def require_enabled(self) -> None:
        """Refuse any other state.

        Raises:
            GcpError: FAILED_PRECONDITION.
        """
        if self.state is not State.ENABLED:
            raise GcpError("state", resource=self.name, state=self.state.value)

    def settle(self, now: float) -> None:
        """Finish the generation, and destroy the material, once the time of each has come."""
        if self.state is State.PENDING_GENERATION and now >= self.generated_at:
            self.state = State.ENABLED
        if self.destroy_at is not None and now >= self.destroy_at:
            self.state, self.destroy_at = State.DESTROYED, None
            self.secret, self.private_key = b"", None


@dataclass(slots=True)
class CryptoKey:
    """A key: a purpose, versions, and one of these as the primary."""

    name: str
    algorithm: str
    protection_level: str = "SOFTWARE"
    versions: list[Version] = field(default_factory=list)
    primary: Version | None = None
    rotation_seconds: float | None = None
    next_rotation: float | None = None

    @property
    def purpose(self) -> str:
        """What the key is for."""
        return PURPOSES[self.algorithm]

    def require_purpose(self, *purposes: str) -> None:
        """Refuse another purpose.

        Raises:
            GcpError: FAILED_PRECONDITION.
        """
        if self.purpose not in purposes:
            raise GcpError("purpose", resource=self.name, state=self.purpose)

    def rotate_every(self, seconds: float, *, now: float) -> None:
        """Make a new primary version each time that this number of seconds has passed.

        https://cloud.google.com/kms/docs/rotate-key
        """
        self.rotation_seconds, self.next_rotation = seconds, now + seconds

    def rotate_if_due(self, now: float) -> None:
        """Catch up with every rotation that fell due."""
        while self.rotation_seconds and self.next_rotation and self.next_rotation <= now:
            self.primary = self.add_version()
            self.next_rotation += self.rotation_seconds

    def add_version(self) -> Version:
        """Return a new version with fresh material; it is not made the primary."""
        name = f"{self.name}/cryptoKeyVersions/{len(self.versions) + 1}"
        secret = b""
        private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None
        if self.algorithm == EC_SIGN:
            private_key = ec.generate_private_key(ec.SECP256R1())
        elif self.algorithm in RSA_FORMS:
            bits = RSA_FORMS[self.algorithm][0]
            private_key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        else:
            secret = os.urandom(RAW_BYTES.get(self.algorithm, 32))
        version = Version(name, self.algorithm, secret, private_key, self.protection_level)
        self.versions.append(version)
        return version


def require(name: str, *kinds: str) -> None:
    """Refuse a name that has none of the forms.

    Raises:
        GcpError: INVALID_ARGUMENT.
    """
    if not any(_FORMS[kind].fullmatch(name) for kind in kinds):
        raise GcpError("malformed name", resource=name)


def is_version(name: str) -> bool:
    """Say whether a name is that of a version."""
    return _FORMS["CryptoKeyVersion"].fullmatch(name) is not None


def key_of(name: str) -> str:
    """Return the name of the key, the version left out."""
    return name.partition("/cryptoKeyVersions/")[0]
