"""How an envelope proves that its data key took the place of one that was known before.

Rules C1 to C6 of docs/continuity.md. Nothing here reads or writes a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import DecryptionError
from .model import MAX_LINEAGE, SECRET_BYTES

MAX_REVISION_JUMP = 1_000_000

_SECRET = b"ksm-storage continuity v1"
_LINEAGE_KEY = b"ksm-storage lineage v1"
# Safe with a lineage key and with nothing else: the key is derived from a DEK that is drawn at
# the rekey that seals this lineage, and no later change seals it again.
_NONCE = bytes(12)


class Record(NamedTuple):
    """Hold which envelope was accepted at a path.

    Attributes:
        envelope_id: Which envelope, 16 bytes.
        generation: How many DEKs it has had.
        fingerprint: Identifies the DEK and reveals nothing of it (C2), 32 bytes.
        revision: How often it has been changed.
        header_mac: Tells it from another one of the same revision, 32 bytes.
    """

    envelope_id: bytes
    generation: int
    fingerprint: bytes
    revision: int
    header_mac: bytes


def continuity_secret(dek: bytes, envelope_id: bytes) -> bytes:
    """Return what only those who had this DEK can show (C1).

    Source: RFC 5869, HKDF with SHA-512.
    """
    return HKDF(SHA512(), SECRET_BYTES, envelope_id, _SECRET).derive(dek)


def fingerprint_of(secret: bytes) -> bytes:
    """Return the fingerprint of the DEK that a continuity secret comes from (C2)."""
    digest = Hash(SHA256())
    digest.update(secret)
    return digest.finalize()


def seal_lineage(secrets: Sequence[bytes], *, dek: bytes, envelope_id: bytes, aad: bytes) -> bytes:
    """Seal the continuity secrets of the DEKs before this one, newest first (C3).

    The caller seals one lineage with each DEK, at the rekey that draws it.
    """
    plaintext = b"".join(secrets[:MAX_LINEAGE])
    return AESGCM(_lineage_key(dek, envelope_id)).encrypt(_NONCE, plaintext, aad)


def open_lineage(sealed: bytes, *, dek: bytes, envelope_id: bytes, aad: bytes) -> Sequence[bytes]:
    """Return the continuity secrets that a lineage holds, newest first.

    Raises:
        DecryptionError: It was not sealed under this DEK, or is altered.
    """
    try:
        plaintext = AESGCM(_lineage_key(dek, envelope_id)).decrypt(_NONCE, sealed, aad)
    except InvalidTag as exc:
        raise DecryptionError("the lineage of the envelope does not open: altered data") from exc
    return [plaintext[at : at + SECRET_BYTES] for at in range(0, len(plaintext), SECRET_BYTES)]


def break_before_opening(
    record: Record, *, envelope_id: bytes, generation: int, revision: int, header_mac: bytes
) -> str | None:
    """Return why an envelope cannot continue a record, or None; needs no key service (C10).

    None of these accepts the file: the header is not authenticated yet.
    """
    if envelope_id != record.envelope_id:
        return "it is another envelope than the one recorded here"
    if generation < record.generation:
        return (
            f"it is from before a rekey: generation {generation}, and generation "
            f"{record.generation} is recorded"
        )
    if revision < record.revision:
        return f"it is older: revision {revision}, and revision {record.revision} is recorded"
    if revision > record.revision + MAX_REVISION_JUMP:
        return (
            f"its revision {revision} is more than {MAX_REVISION_JUMP} ahead of the recorded "
            f"revision {record.revision}"
        )
    # Each change adds one, so that two different files of one revision are two lines. With a new
    # DEK the lineage decides.
    is_same = (generation, revision) == (record.generation, record.revision)
    if is_same and header_mac != record.header_mac:
        return f"it is a fork: another file of revision {revision} is recorded"
    return None


def break_after_opening(record: Record, found: Record, lineage: Sequence[bytes]) -> str | None:
    """Return why an opened envelope does not continue a record, or None (C5).

    Args:
        record: What was accepted before.
        found: The record of the envelope, its fingerprint made from the unwrapped DEK (C6).
        lineage: The secrets that the envelope holds, newest first.
    """
    early = break_before_opening(
        record,
        envelope_id=found.envelope_id,
        generation=found.generation,
        revision=found.revision,
        header_mac=found.header_mac,
    )
    if early is not None:
        return early
    if found.generation == record.generation:
        if found.fingerprint == record.fingerprint:
            return None
        return "its data key was replaced without a rekey"
    place = found.generation - record.generation - 1
    if place >= len(lineage):
        return (
            f"{found.generation - record.generation} rekeys lie between it and the recorded "
            f"generation, and it remembers {len(lineage)}"
        )
    if fingerprint_of(lineage[place]) != record.fingerprint:
        return "it does not prove that its data key replaced the recorded one"
    return None


def _lineage_key(dek: bytes, envelope_id: bytes) -> bytes:
    return HKDF(SHA512(), 32, envelope_id, _LINEAGE_KEY).derive(dek)
