"""The sealed file of Keeper's Azure, Google, Oracle and JavaScript storage packages.

::

    ff ff | len16 wrapped key | len16 nonce | len16 tag | len16 ciphertext

AES-256-GCM without AAD; the lengths are big-endian and stand before their part. Nothing in the
file names the provider, the key or the algorithm: the caller must know the key.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import DecryptionError, EnvelopeError

MAGIC = b"\xff\xff"

_TAG_BYTES = 16
# 12 since the Python packages 1.1.0; 16 before that and in the JavaScript packages.
_NONCE_BYTES = (12, 16)
_KEY_BYTES = 32
_MECHANISM_BYTES = 2


class Blob(NamedTuple):
    """Hold the four parts of a sealed file."""

    wrapped_key: bytes
    nonce: bytes
    tag: bytes
    ciphertext: bytes


def read_blob(raw: bytes) -> Blob:
    """Parse a sealed file.

    Raises:
        EnvelopeError: It is cut off, has bytes behind its end, or is of the nShield package.
    """
    parts: list[bytes] = []
    rest = raw.removeprefix(MAGIC)
    while len(parts) < len(Blob._fields):
        length = int.from_bytes(rest[:2], "big")
        if len(rest) < 2 + length:
            raise EnvelopeError("the file of Keeper's own package is cut off")
        parts.append(rest[2 : 2 + length])
        rest = rest[2 + length :]
        if len(parts) == 1 and length == _MECHANISM_BYTES:
            raise _nshield()
    # The official readers ignore them; whoever appended them, it was not the package.
    if rest:
        raise EnvelopeError("the file of Keeper's own package has bytes behind its end")
    blob = Blob(*parts)
    if len(blob.nonce) not in _NONCE_BYTES or len(blob.tag) != _TAG_BYTES:
        raise EnvelopeError("the file of Keeper's own package has parts of impossible lengths")
    return blob


def decrypt_blob(blob: Blob, key: bytes) -> bytes:
    """Decrypt the configuration under the unwrapped key.

    Raises:
        DecryptionError: Another key, or altered data.
    """
    if len(key) != _KEY_BYTES:
        raise DecryptionError(f"the unwrapped key has {len(key)} bytes instead of {_KEY_BYTES}")
    try:
        return AESGCM(key).decrypt(blob.nonce, blob.ciphertext + blob.tag, None)
    except InvalidTag as exc:
        raise DecryptionError(
            "the file of Keeper's own package does not open: another key or altered data"
        ) from exc


def _nshield() -> EnvelopeError:
    return EnvelopeError(
        "the file is sealed by Keeper's nShield package, which names no standard mechanism",
        hint="write the plain configuration with that package, then protect it; "
        "see docs/plugins/entrust-hsm.md",
    )
