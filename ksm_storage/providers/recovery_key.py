"""The recovery key: a hybrid public key that everybody may have, and the secret that opens.

The key pair is X-Wing (ML-KEM-768 with X25519) and the DEK is encrypted with HPKE, so a DEK that is
copied today stays closed as long as either of the two is unbroken.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256, SHAKE256, Hash

from ..errors import DecryptionError, KeyStateError, PluginLoadError, SettingsError
from ..named_tuple import NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import Suite

SCHEME = "recovery"
ALGORITHM = "HPKE-MLKEM768X25519-SHA256-AES256GCM"
SECRET_BYTES = 32
PUBLIC_KEY_BYTES = 1_216

_ML_KEM_PUBLIC_KEY_BYTES = 1_184
_ML_KEM_SEED_BYTES = 64
_X25519_BYTES = 32
_CHECKSUM_BYTES = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FINGERPRINT = re.compile(r"[a-z2-7]{52}")
_FINGERPRINT_LABEL = b"ksm-storage recovery key v1\0"
_INFO_LABEL = b"ksm-storage recovery wrap v1\0"


class RecoveryKey(NamedTuple):
    """Hold what is public of a recovery key.

    Attributes:
        name: What its owner calls it; the same secret under another name is another key.
        fingerprint: 52 characters of the name and the public key, by which a file names the key.
        public: The public key, 1,216 bytes, which wrapping needs; None if only the fingerprint is
            known.
    """

    name: str
    fingerprint: str
    public: bytes | None

    @classmethod
    def of_public(cls, name: str, public: bytes) -> RecoveryKey:
        """Return the recovery key of a name and a public key."""
        digest = Hash(SHA256())
        digest.update(_FINGERPRINT_LABEL + name.encode("utf-8") + b"\0" + public)
        text = base64.b32encode(digest.finalize()).decode("ascii").rstrip("=").lower()
        return cls(name, text, public)

    @classmethod
    def of(cls, name: str, secret: bytes) -> RecoveryKey:
        """Return the recovery key of a name and a secret.

        Raises:
            SettingsError: The name is invalid.
            PluginLoadError: This build of ``cryptography`` lacks one of the two algorithms.
        """
        return cls.of_public(check_name(name), public_key(secret))

    @classmethod
    def parse(cls, key_id: str) -> RecoveryKey:
        """Read ``NAME/FINGERPRINT`` or ``NAME/PUBLIC``.

        Raises:
            SettingsError: It is malformed, or a character is wrong.
        """
        name, _, text = key_id.partition("/")
        if _NAME.fullmatch(name):
            if _FINGERPRINT.fullmatch(text):
                return cls(name, text, None)
            key = cls.of_public(name, _decoded(text))
            # Without the checksum a damaged URI would wrap to nobody, which would be noticed on
            # the day when the recovery key is the last one.
            if key.public_id == key_id:
                return key
        shown = key_id if len(key_id) <= 100 else f"{key_id[:40]}..."
        raise SettingsError(
            f"not a recovery key, or a character is wrong: {shown!r}",
            hint="copy the whole URI that 'ksm-storage recovery create NAME' printed",
        )

    @property
    def key_id(self) -> str:
        """Return the key id by which a file names the key: its name and its fingerprint."""
        return f"{self.name}/{self.fingerprint}"

    @property
    def public_id(self) -> str:
        """Return the key id to wrap by: name, public key and checksum, in base64url."""
        checksum = base64.b32decode(f"{self.fingerprint.upper()}====")[:_CHECKSUM_BYTES]
        checked = base64.urlsafe_b64encode((self.public or b"") + checksum).decode("ascii")
        return f"{self.name}/{checked.rstrip('=')}"


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


def public_key(secret: bytes) -> bytes:
    """Return the X-Wing public key of a secret: that of ML-KEM-768, then that of X25519.

    Raises:
        PluginLoadError: This build of ``cryptography`` lacks one of the two algorithms.
    """
    ml_kem, x25519 = _private_keys(secret)
    return ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def seal_to(name: str, public: bytes, dek: bytes, *, aad: bytes) -> bytes:
    """Return ``public key (1216) || encapsulated key (1120) || ciphertext || tag (16)``.

    The public key is in it so that a rekey needs nothing but the file.

    Raises:
        KeyStateError: The public key is invalid.
        PluginLoadError: This build of ``cryptography`` lacks one of the two algorithms.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

        key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:_ML_KEM_PUBLIC_KEY_BYTES]),
            X25519PublicKey.from_public_bytes(public[_ML_KEM_PUBLIC_KEY_BYTES:]),
        )
        # Each message has an encapsulated key of its own, so its AEAD key seals no other and the
        # nonce that is derived with it is used once.
        sealed = _suite().encrypt(dek, key, _info(name, aad))
    except (ImportError, UnsupportedAlgorithm, InternalError) as exc:
        raise _unsupported() from exc
    except ValueError as exc:
        raise KeyStateError(
            "the recovery key is not a valid public key",
            hint="create another one with: ksm-storage recovery create NAME",
        ) from exc
    return public + sealed


def open_with(name: str, secret: bytes, sealed: bytes, *, aad: bytes) -> bytes:
    """Return the DEK that was sealed to the recovery key of a name and a secret.

    Raises:
        DecryptionError: Another key, another AAD or altered data.
        PluginLoadError: This build of ``cryptography`` lacks one of the two algorithms.
    """
    ml_kem, x25519 = _private_keys(secret)
    try:
        from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

        private = MLKEM768X25519PrivateKey(ml_kem, x25519)
        return _suite().decrypt(sealed[PUBLIC_KEY_BYTES:], private, _info(name, aad))
    except (ImportError, UnsupportedAlgorithm, InternalError) as exc:
        raise _unsupported() from exc
    except (InvalidTag, ValueError) as exc:
        raise DecryptionError(
            "the wrapped data key does not decrypt: another context or altered data",
            hint="restore the file from a backup",
        ) from exc


def _private_keys(secret: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    # Source: draft-connolly-cfrg-xwing-kem, section 5.2 (expandDecapsulationKey).
    try:
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        expanded = Hash(SHAKE256(_ML_KEM_SEED_BYTES + _X25519_BYTES))
        expanded.update(secret)
        seed = expanded.finalize()
        return (
            MLKEM768PrivateKey.from_seed_bytes(seed[:_ML_KEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(seed[_ML_KEM_SEED_BYTES:]),
        )
    except (ImportError, UnsupportedAlgorithm, InternalError) as exc:
        raise _unsupported() from exc


def _suite() -> Suite:
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _info(name: str, aad: bytes) -> bytes:
    # The library's HPKE takes no AAD. The key schedule binds the info, and each key schedule
    # seals one message, so what the info holds is bound as an AAD would be.
    return _INFO_LABEL + name.encode("utf-8") + b"\0" + aad


def _unsupported() -> PluginLoadError:
    return PluginLoadError(
        "this build of the cryptography package has no ML-KEM-768 or no X25519, which recovery "
        "keys need",
        hint="install cryptography 48 or later from PyPI; where only FIPS algorithms are allowed, "
        "use a second key of another provider instead",
    )


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw[:PUBLIC_KEY_BYTES]
