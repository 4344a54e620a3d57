"""The derivation of suite 1 against the public vectors and the package that it follows."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from aws_encryption_sdk.identifiers import Algorithm
from aws_encryption_sdk.internal.crypto import data_keys
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.envelope import opening
from ksm_storage.envelope.opening import check_commitment, derive_keys

PUBLIC = Path(__file__).parents[4] / "shared/commitment-vectors.json"
OURS, SIGNING = 0x0478, 0x0578


@dataclass(frozen=True)
class Published:
    """Hold what one public vector says about keys."""

    name: str
    suite: int
    sound: bool
    dek: bytes
    message_id: bytes
    commitment: bytes
    data_key: bytes | None
    in_header: bytes
    frames: tuple[tuple[bytes, bytes], ...]

    @property
    def is_ambiguous(self) -> bool:
        """Tell whether its ciphertext was made to open under two DEKs, of which this is one."""
        return "Two different plaintext data keys" in self.name


def published() -> list[Published]:
    if not PUBLIC.exists():
        return []
    return [_published(entry) for entry in json.loads(PUBLIC.read_text())["tests"]]


def _published(entry: dict[str, str]) -> Published:
    raw = base64.b64decode
    key = entry.get("content-encryption-key")
    plain: Sequence[str] = entry.get("plaintext-frames") or ()
    frames: Sequence[str] = entry.get("frames") or ()
    return Published(
        name=entry["comment"],
        suite=int.from_bytes(raw(entry["header"])[1:3], "big"),
        sound=bool(entry["status"]),
        dek=raw(entry["decrypted-dek"]),
        message_id=raw(entry["message-id"]),
        commitment=raw(entry["commitment"]),
        # The header ends with the commitment and a tag of 16 bytes.
        in_header=raw(entry["header"])[-48:-16],
        data_key=raw(key) if key else None,
        frames=tuple((raw(c), p.encode()) for c, p in zip(frames, plain, strict=False)),
    )


VECTORS = published()
named = pytest.mark.parametrize(
    "vector",
    VECTORS or [pytest.param(None, marks=pytest.mark.skip(reason=f"no {PUBLIC.name}"))],
    ids=lambda vector: vector.name if vector else "absent",
)


@named
def test_a_public_vector_is_sound_exactly_if_its_header_holds_our_commitment(
    vector: Published,
) -> None:
    try:
        check_commitment(vector.dek, vector.message_id, vector.in_header)
        commits = True
    except InvalidKey:
        commits = False

    assert commits is vector.sound


@named
def test_a_public_vector_that_names_this_dek_has_our_commitment_and_data_key(
    vector: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The suite with signatures derives alike; only the two bytes of its number differ.
    monkeypatch.setattr(opening, "_PAYLOAD_KEY", vector.suite.to_bytes(2, "big") + b"DERIVEKEY")

    keys = derive_keys(vector.dek, vector.message_id)

    same_commitment = keys.commitment == vector.commitment
    assert same_commitment is not vector.is_ambiguous
    assert vector.data_key is None or (vector.data_key == keys.payload_key) is same_commitment
    for opened, plain in _opened_frames(vector, keys.payload_key):
        assert opened == plain


def test_of_the_46_public_vectors_42_hold_our_values_and_4_a_second_dek() -> None:
    if not VECTORS:
        pytest.skip(f"no {PUBLIC.name}")

    assert (len(VECTORS), sum(vector.is_ambiguous for vector in VECTORS)) == (46, 4)
    assert {vector.suite for vector in VECTORS} == {OURS, SIGNING}
    assert OURS.to_bytes(2, "big") + b"DERIVEKEY" == opening._PAYLOAD_KEY


@pytest.mark.parametrize("case", range(20))
def test_the_package_that_we_follow_derives_the_same(case: int) -> None:
    dek, message_id = (bytes(32), bytes(32)) if case == 0 else (os.urandom(32), os.urandom(32))
    suite = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY

    keys = derive_keys(dek, message_id)

    assert keys.payload_key == data_keys.derive_data_encryption_key(dek, suite, message_id)
    assert keys.commitment == data_keys.calculate_commitment_key(dek, suite, message_id)


def test_the_three_values_are_independent_and_two_of_them_are_hidden() -> None:
    keys = derive_keys(bytes(32), bytes(32))

    assert len({keys.payload_key, keys.commitment, keys.header_mac_key}) == 3
    assert repr(keys) == f"<DerivedKeys of commitment {keys.commitment.hex()}>"


def _opened_frames(vector: Published, key: bytes) -> Iterator[tuple[bytes, bytes]]:
    for frame, plain in vector.frames if vector.sound else ():
        final = frame[:4] == b"\xff\xff\xff\xff"
        number, rest = (frame[4:8], frame[8:]) if final else (frame[:4], frame[4:])
        nonce, sealed = rest[:12], rest[16:] if final else rest[12:]
        label = b"AWSKMSEncryptionClient Final Frame" if final else b"AWSKMSEncryptionClient Frame"
        length = (len(sealed) - 16).to_bytes(8, "big")
        yield AESGCM(key).decrypt(nonce, sealed, vector.message_id + label + number + length), plain
