"""A KMS key: its state, its material and its rotation."""

import os
import secrets
import uuid
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ksm_storage_emulators.aws_kms.identities import ACCOUNT

ENABLED = "Enabled"
DISABLED = "Disabled"
PENDING_DELETION = "PendingDeletion"
PENDING_REPLICA_DELETION = "PendingReplicaDeletion"
SYMMETRIC = "SYMMETRIC_DEFAULT"
RSA_BITS = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}
P256 = "ECC_NIST_P256"
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """One generation of a symmetric key."""

    material_id: str
    secret: bytes = field(repr=False)
    created_at: float
    rotation: str | None  # None for the first, else AUTOMATIC or ON_DEMAND


def new_material(created_at: float, *, rotation: str | None) -> KeyMaterial:
    """Make fresh 256-bit material with the 64 hexadecimal digits that KMS names it by."""
    return KeyMaterial(secrets.token_hex(32), os.urandom(32), created_at, rotation)


@dataclass(slots=True)
class Lineage:
    """What all replicas of a multi-Region key share: material, rotation and the primary."""

    materials: list[KeyMaterial]
    private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None
    primary_region: str
    regions: list[str]
    rotation_period_days: int | None = None
    rotation_from: float = 0.0

    def material(self, material_id: str) -> KeyMaterial | None:
        """Find a generation, current or former."""
        return next((m for m in self.materials if m.material_id == material_id), None)

    def next_rotation(self) -> float | None:
        """Return when automatic rotation is due, or None when it is off."""
        if self.rotation_period_days is None:
            return None
        return self.rotation_from + self.rotation_period_days * DAY

    def rotate_if_due(self, now: float) -> None:
        """Catch up with every automatic rotation that fell due."""
        due = self.next_rotation()
        while due is not None and due <= now:
            self.materials.append(new_material(due, rotation="AUTOMATIC"))
            self.rotation_from = due
            due = self.next_rotation()


@dataclass(slots=True)
class KmsKey:
    """One key in one region."""

    key_id: str
    region: str
    key_spec: str
    multi_region: bool
    created_at: float
    description: str
    lineage: Lineage
    state: str = ENABLED
    deletion_window_days: int | None = None
    deletion_at: float | None = None

    @property
    def arn(self) -> str:
        """The name that replies carry."""
        return f"arn:aws:kms:{self.region}:{ACCOUNT}:key/{self.key_id}"

    @property
    def symmetric(self) -> bool:
        """Whether it is an AES key, not a key pair."""
        return self.key_spec == SYMMETRIC

    @property
    def signs(self) -> bool:
        """Whether it is a pair that signs; RSA keys here only encrypt."""
        return self.key_spec == P256

    @property
    def primary(self) -> bool:
        """Whether it is single-Region, or the primary of a multi-Region key."""
        return self.region == self.lineage.primary_region

    @property
    def current(self) -> KeyMaterial:
        """The material that encrypts."""
        return self.lineage.materials[-1]


def new_key(
    region: str, *, key_spec: str, multi_region: bool, description: str, now: float
) -> KmsKey:
    """Make a key with fresh material."""
    plain_id = uuid.uuid4()
    key_id = f"mrk-{plain_id.hex}" if multi_region else str(plain_id)
    private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None
    if key_spec == P256:
        private_key = ec.generate_private_key(ec.SECP256R1())
    if key_spec in RSA_BITS:
        private_key = rsa.generate_private_key(65537, RSA_BITS[key_spec])
    lineage = Lineage([new_material(now, rotation=None)], private_key, region, [region])
    return KmsKey(key_id, region, key_spec, multi_region, now, description, lineage)
