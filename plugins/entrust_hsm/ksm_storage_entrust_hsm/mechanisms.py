"""The mechanisms that can wrap a DEK: their names in an envelope, and what each can do.

Source: OASIS PKCS #11 Cryptographic Token Interface Current Mechanisms Specification, 2.40 and 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

AUTO = "auto"

CKK_RSA = 0x00
CKK_AES = 0x1F


class Mechanism(NamedTuple):
    """Describe one mechanism.

    Attributes:
        name: What an envelope records.
        code: The ``CKM_`` number.
        key_type: The ``CKK_`` number of the keys that it takes.
        binds_aad: Whether it authenticates the AAD.
        ciphertext_bytes: How long a wrapped DEK of 32 bytes is, where only one length is right.
        oaep_hash: ``CKM_`` number of the hash of OAEP and ``CKG_`` number of its MGF1.
    """

    name: str
    code: int
    key_type: int
    binds_aad: bool = False
    ciphertext_bytes: int | None = None
    oaep_hash: tuple[int, int] = (0, 0)


IV_BYTES = 12
TAG_BYTES = 16

AES_GCM = Mechanism("CKM_AES_GCM", 0x1087, CKK_AES, True, IV_BYTES + 32 + TAG_BYTES)
# In RFC 5649 a wrapped DEK has 40 bytes. KEY_WRAP_PAD is that in SoftHSM and PKCS #7 padding
# elsewhere: one is not taken for the other, because the exact name is recorded.
AES_KWP = Mechanism("CKM_AES_KEY_WRAP_KWP", 0x210B, CKK_AES, False, 40)
AES_KEY_WRAP_PAD = Mechanism("CKM_AES_KEY_WRAP_PAD", 0x210A, CKK_AES)
# The hash is a parameter and no part of PKCS #11's name, so it is added to it.
RSA_OAEP_SHA256 = Mechanism("CKM_RSA_PKCS_OAEP/SHA-256", 0x09, CKK_RSA, oaep_hash=(0x250, 2))
# Behind SHA-256, and so only when asked for: tokens do not say which of the two they know.
# SHA-1 is sound inside OAEP, but forbidden by many a policy.
RSA_OAEP_SHA1 = Mechanism("CKM_RSA_PKCS_OAEP/SHA-1", 0x09, CKK_RSA, oaep_hash=(0x220, 1))

# In the order of preference.
MECHANISMS: Mapping[str, Mechanism] = {
    each.name: each for each in (AES_GCM, AES_KWP, AES_KEY_WRAP_PAD, RSA_OAEP_SHA256, RSA_OAEP_SHA1)
}
