"""Suite 1: the keys that are derived from a DEK and a message id, and what is done with them."""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# A constant nonce is safe with a payload key and with nothing else: the key is derived from a
# message id that is drawn anew with each sealing, so it never seals a second message (S4, S6).
PAYLOAD_NONCE = bytes(12)

_LENGTH = 32
_PAYLOAD_KEY = b"\x04\x78DERIVEKEY"
_COMMITMENT = b"COMMITKEY"
_HEADER_MAC_KEY = b"ksm-storage header mac v1"


class DerivedKeys(NamedTuple):
    """Hold what suite 1 derives for one message (S2); only the commitment is public."""

    payload_key: bytes
    commitment: bytes
    header_mac_key: bytes

    def __repr__(self) -> str:
        # The commitment is the only part that is no key.
        return f"<DerivedKeys of commitment {self.commitment.hex()}>"


def derive_keys(dek: bytes, message_id: bytes) -> DerivedKeys:
    """Derive the keys of one message from its DEK.

    Source: RFC 5869; AWS Encryption SDK algorithm suites, 0x0478 (HKDF with SHA-512, key
    commitment), for the payload key and the commitment.
    """
    return DerivedKeys(
        payload_key=_expanded(dek, message_id, _PAYLOAD_KEY),
        commitment=_expanded(dek, message_id, _COMMITMENT),
        header_mac_key=_expanded(dek, message_id, _HEADER_MAC_KEY),
    )


def check_commitment(dek: bytes, message_id: bytes, expected: bytes) -> None:
    """Compare the commitment to a DEK in constant time (R2).

    Raises:
        cryptography.exceptions.InvalidKey: The commitment is to another DEK.
    """
    HKDF(SHA512(), _LENGTH, message_id, _COMMITMENT).verify(dek, expected)


def header_mac(keys: DerivedKeys, covered: bytes) -> bytes:
    """Return the MAC over the bytes of a header (S3)."""
    return _mac(keys, covered).finalize()


def check_header_mac(keys: DerivedKeys, covered: bytes, expected: bytes) -> None:
    """Compare the MAC over the bytes of a header in constant time.

    Raises:
        cryptography.exceptions.InvalidSignature: It is another one.
    """
    _mac(keys, covered).verify(expected)


def _mac(keys: DerivedKeys, covered: bytes) -> HMAC:
    mac = HMAC(keys.header_mac_key, SHA256())
    mac.update(covered)
    return mac


def _expanded(dek: bytes, message_id: bytes, info: bytes) -> bytes:
    return HKDF(SHA512(), _LENGTH, message_id, info).derive(dek)
