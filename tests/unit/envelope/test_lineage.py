"""An envelope continues a record only by the same DEK, or by a proof made from the DEK before."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives import hashes, hmac

from ksm_storage.envelope.lineage import (
    MAX_REVISION_JUMP,
    Record,
    break_after_opening,
    break_before_opening,
    continuity_secret,
    fingerprint_of,
    open_lineage,
    seal_lineage,
)
from ksm_storage.envelope.model import MAX_LINEAGE
from ksm_storage.errors import DecryptionError

ENVELOPE_ID = bytes(range(16))
DEKS = [bytes([number]) * 32 for number in range(41)]  # by generation
AAD = b"core"


def record(generation: int, revision: int, *, dek: bytes | None = None) -> Record:
    secret = continuity_secret(dek or DEKS[generation], ENVELOPE_ID)
    return Record(ENVELOPE_ID, generation, fingerprint_of(secret), revision, bytes(32))


def lineage_to(generation: int) -> list[bytes]:
    """Return the secrets that an honest envelope of this generation holds."""
    return [continuity_secret(DEKS[g], ENVELOPE_ID) for g in range(generation - 1, 0, -1)]


def test_the_secret_is_hkdf_sha_512_of_the_dek() -> None:
    def mac(key: bytes, data: bytes) -> bytes:
        each = hmac.HMAC(key, hashes.SHA512())
        each.update(data)
        return each.finalize()

    expected = mac(mac(ENVELOPE_ID, DEKS[1]), b"ksm-storage continuity v1\x01")[:32]

    assert continuity_secret(DEKS[1], ENVELOPE_ID) == expected


def test_a_fingerprint_is_of_one_dek_and_one_envelope() -> None:
    prints = {
        fingerprint_of(continuity_secret(dek, envelope_id))
        for dek in DEKS
        for envelope_id in (ENVELOPE_ID, bytes(16))
    }

    assert len(prints) == 2 * len(DEKS)


@pytest.mark.parametrize("revision", [7, 8, 7 + MAX_REVISION_JUMP])
def test_the_same_dek_at_no_lower_revision_continues(revision: int) -> None:
    assert break_after_opening(record(1, 7), record(1, revision), []) is None


@pytest.mark.parametrize("generation", [2, 3, 20])
def test_a_rekey_that_proves_the_recorded_dek_continues(generation: int) -> None:
    found = record(generation, 9)

    assert break_after_opening(record(1, 7), found, lineage_to(generation)) is None


@pytest.mark.parametrize(
    ("found", "lineage", "reason"),
    [
        (record(1, 6), [], "older"),
        (record(1, 8 + MAX_REVISION_JUMP), [], "ahead"),
        (record(1, 8, dek=os.urandom(32)), [], "replaced without a rekey"),
        (record(2, 8), [], "rekeys lie between"),
        (record(2, 8), [os.urandom(32)], "does not prove"),
        (record(2, 6), lineage_to(2), "older"),
        (record(3, 8), [os.urandom(32), os.urandom(32)], "does not prove"),
        # The proof for another generation, in this one's place and out of it.
        (record(3, 8), [continuity_secret(DEKS[1], ENVELOPE_ID)], "rekeys lie between"),
        (record(3, 8), lineage_to(3)[::-1], "does not prove"),
        (record(1, 7)._replace(envelope_id=bytes(16)), [], "another envelope"),
        (record(2, 10**18 - 1), [], "ahead"),
        (record(1, 7)._replace(header_mac=b"m" * 32), [], "it is a fork"),
    ],
)
def test_anything_else_breaks_the_line(found: Record, lineage: list[bytes], reason: str) -> None:
    assert reason in str(break_after_opening(record(1, 7), found, lineage))


def test_an_older_generation_breaks_the_line_whatever_its_revision() -> None:
    assert "from before a rekey" in str(break_after_opening(record(2, 7), record(1, 99), []))


def test_what_the_header_says_is_told_before_a_key_service_is_asked() -> None:
    def early(**changed: object) -> str | None:
        header = {"envelope_id": ENVELOPE_ID, "generation": 2, "revision": 7}
        found = {**header, "header_mac": bytes(32), **changed}
        return break_before_opening(record(2, 7), **found)  # type: ignore[arg-type]

    assert early() is None
    assert early(revision=8, generation=3) is None
    assert early(revision=8, header_mac=b"m" * 32) is None
    assert "it is a fork" in str(early(header_mac=b"m" * 32))
    assert "another envelope" in str(early(envelope_id=bytes(16)))
    assert "from before a rekey" in str(early(generation=1))
    assert "older" in str(early(revision=6))
    assert "ahead" in str(early(revision=8 + MAX_REVISION_JUMP))


def test_s7_a_lineage_is_read_by_its_own_dek_only() -> None:
    secrets = lineage_to(4)
    sealed = seal_lineage(secrets, dek=DEKS[4], envelope_id=ENVELOPE_ID, aad=AAD)

    assert open_lineage(sealed, dek=DEKS[4], envelope_id=ENVELOPE_ID, aad=AAD) == secrets
    for dek, envelope_id, aad in (
        (DEKS[3], ENVELOPE_ID, AAD),
        (DEKS[4], bytes(16), AAD),
        (DEKS[4], ENVELOPE_ID, b""),
    ):
        with pytest.raises(DecryptionError):
            open_lineage(sealed, dek=dek, envelope_id=envelope_id, aad=aad)


def test_s7_a_lineage_remembers_the_newest_so_many() -> None:
    sealed = seal_lineage(lineage_to(40), dek=DEKS[40], envelope_id=ENVELOPE_ID, aad=AAD)

    kept = open_lineage(sealed, dek=DEKS[40], envelope_id=ENVELOPE_ID, aad=AAD)

    assert kept == lineage_to(40)[:MAX_LINEAGE]
    assert break_after_opening(record(8, 7), record(40, 9), kept) is None
    assert "rekeys lie between" in str(break_after_opening(record(7, 7), record(40, 9), kept))
