"""Keys with their versions and states.

https://docs.oracle.com/en-us/iaas/Content/KeyManagement/Concepts/keyoverview.htm
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.oci_vault.errors import hidden
from ksm_storage_emulators.oci_vault.ocids import new_ocid, new_vault

AES = "AES"
RSA = "RSA"
ECDSA = "ECDSA"
ENABLED = "ENABLED"
DISABLED = "DISABLED"
PENDING_DELETION = "PENDING_DELETION"
DELETED = "DELETED"

# Bytes of key material, as `keyShape.length` counts them.
LENGTHS = {AES: (16, 24, 32), RSA: (256, 384, 512), ECDSA: (32, 48, 66)}
# Length of an ECDSA key -> its curve, and the name of it in `keyShape.curveId`.
CURVES: dict[int, tuple[ec.EllipticCurve, str]] = {
    32: (ec.SECP256R1(), "NIST_P256"),
    48: (ec.SECP384R1(), "NIST_P384"),
    66: (ec.SECP521R1(), "NIST_P521"),
}


@dataclass(slots=True)
class KeyVersion:
    """One version of a key, with its material."""

    ocid: str
    created_at: float
    secret: bytes = field(default=b"", repr=False)
    private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = field(
        default=None, repr=False
    )
    state: str = ENABLED
    deleted_at: float | None = None


@dataclass(slots=True)
class Key:
    """One key; the last version is the current one."""

    ocid: str
    algorithm: str
    length: int
    name: str
    created_at: float
    versions: list[KeyVersion]
    state: str = ENABLED
    deleted_at: float | None = None

    @property
    def current(self) -> KeyVersion:
        """The version that encrypts."""
        return self.versions[-1]

    def version(self, ocid: str) -> KeyVersion:
        """Return one version.

        Raises:
            OciError: NotAuthorizedOrNotFound.
        """
        for version in self.versions:
            if version.ocid == ocid:
                return version
        raise hidden()

    def rotate(self, now: float) -> KeyVersion:
        """Add a version and make it the current one."""
        version = _new_version(self.ocid.split(".")[4], self.algorithm, self.length, now)
        self.versions.append(version)
        return version

    def settle(self, now: float) -> None:
        """Delete what was scheduled for deletion until now."""
        if self.deleted_at is not None and self.deleted_at <= now:
            self.state = DELETED
        for version in self.versions:
            if version.deleted_at is not None and version.deleted_at <= now:
                version.state = DELETED


class Vault:
    """The keys of one vault. Hold `lock` while working with them."""

    def __init__(self, clock: MovableClock) -> None:
        """Start without keys."""
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self.lock = threading.RLock()
        self.name = new_vault()
        self.ocid = new_ocid("vault", vault=self.name)

    def create(self, *, algorithm: str = AES, length: int = 32, name: str = "") -> Key:
        """Create an enabled key with one version."""
        if length not in LENGTHS[algorithm]:
            raise ValueError(f"an {algorithm} key has no length of {length} bytes")
        now = self._clock.now()
        first = _new_version(self.name, algorithm, length, now)
        key = Key(new_ocid("key", vault=self.name), algorithm, length, name, now, [first])
        with self.lock:
            self._keys[key.ocid] = key
        return key

    def find(self, ocid: str) -> Key | None:
        """Return a key in its present state, or None."""
        with self.lock:
            key = self._keys.get(ocid)
            if key is not None:
                key.settle(self._clock.now())
            return key


def _new_version(vault: str, algorithm: str, length: int, now: float) -> KeyVersion:
    ocid = new_ocid("keyversion", vault=vault)
    if algorithm == AES:
        return KeyVersion(ocid, now, secret=os.urandom(length))
    if algorithm == ECDSA:
        return KeyVersion(ocid, now, private_key=ec.generate_private_key(CURVES[length][0]))
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=length * 8)
    return KeyVersion(ocid, now, private_key=private_key)
