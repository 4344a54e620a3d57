"""The recovery key: its public part is the key id; its private part derives from the secret."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import SettingsError

SCHEME = "recovery"
SECRET_BYTES = 32

_CHECKSUM_BYTES = 3
_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRIVATE_KEY = b"ksm-storage recovery private key v1\0"
_CHECKSUM = b"ksm-storage recovery checksum v1\0"


class RecoveryKey(NamedTuple):
    """Hold the public part of a recovery key, which is all that wrapping needs.

    Attributes:
        name: What its owner calls it; the same secret under another name is another key.
        public: The X25519 public key, 32 bytes.
    """

    name: str
    public: bytes

    @classmethod
    def of(cls, name: str, secret: bytes) -> RecoveryKey:
        """Return the public part of the recovery key for a name and a secret.

        Raises:
            SettingsError: The name is invalid.
        """
        return cls(check_name(name), private_key(name, secret).public_key().public_bytes_raw())

    @classmethod
    def parse(cls, key_id: str) -> RecoveryKey:
        """Read ``NAME/PUBLIC``.

        Raises:
            SettingsError: It is malformed, or a character is wrong.
        """
        name, _, text = key_id.partition("/")
        key = cls(name, _decoded(text))
        # Without the checksum a typing error would wrap to nobody, and be noticed only on the day
        # when the recovery key is the last one.
        if key.key_id != key_id or not _NAME.fullmatch(name):
            raise SettingsError(
                f"{key_id!r} is not a recovery key, or a character is wrong",
                hint="copy the whole URI that 'ksm-storage recovery create NAME' printed",
            )
        return key

    @property
    def key_id(self) -> str:
        """Return the key id: the name, and public key and checksum in lower-case base32."""
        checked = self.public + _checksum(self.name, self.public)
        return f"{self.name}/{base64.b32encode(checked).decode('ascii').lower()}"

    @property
    def public_key(self) -> X25519PublicKey:
        """Return the public key to wrap to."""
        return X25519PublicKey.from_public_bytes(self.public)


def private_key(name: str, secret: bytes) -> X25519PrivateKey:
    """Derive the private key of a name from the recovery secret.

    Source: RFC 5869; any 32 bytes are an X25519 private key (RFC 7748, section 5).
    """
    info = _PRIVATE_KEY + name.encode("utf-8")
    return X25519PrivateKey.from_private_bytes(
        HKDF(SHA256(), _KEY_BYTES, None, info).derive(secret)
    )


def check_name(name: str) -> str:
    """Return the name if it is valid for a recovery key.

    Raises:
        SettingsError: It is not.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} is not a valid name for a recovery key",
            hint="use 1 to 64 letters, digits, dots, hyphens and underscores",
        )
    return name


def _checksum(name: str, public: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(_CHECKSUM + name.encode("utf-8") + b"\0" + public)
    return digest.finalize()[:_CHECKSUM_BYTES]


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b32decode(text.upper().encode("ascii", errors="replace"))
    except binascii.Error:
        return b""
    return raw[:_KEY_BYTES]
