"""The sealed file of Keeper's own packages, part by part."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.config.recognise import recognise
from ksm_storage.errors import DecryptionError, EnvelopeError, StorageError
from ksm_storage.storage.plaintext_source import decrypt_blob, is_official, read_blob, wrong_format

KEY = bytes(range(32))
PAYLOAD = b'{"clientId": "x"}'


def blob(*, nonce_bytes: int = 12) -> bytes:
    nonce = os.urandom(nonce_bytes)
    sealed = AESGCM(KEY).encrypt(nonce, PAYLOAD, None)
    return joined(b"wrapped key", nonce, sealed[-16:], sealed[:-16])


def joined(*parts: bytes) -> bytes:
    return b"\xff\xff" + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


@pytest.mark.parametrize("nonce_bytes", [12, 16])
def test_both_lengths_of_the_nonce_are_read(nonce_bytes: int) -> None:
    read = read_blob(blob(nonce_bytes=nonce_bytes))

    assert read.wrapped_key == b"wrapped key"
    assert decrypt_blob(read, KEY) == PAYLOAD


def test_every_truncation_is_refused() -> None:
    whole = blob()

    for length in range(2, len(whole)):
        with pytest.raises(EnvelopeError):
            read_blob(whole[:length])


def test_bytes_behind_the_end_are_refused() -> None:
    with pytest.raises(EnvelopeError, match="trailing bytes"):
        read_blob(blob() + b"\n")


@pytest.mark.parametrize("parts", [(b"k", b"n" * 13, b"t" * 16), (b"k", b"n" * 12, b"t" * 15)])
def test_parts_of_impossible_lengths_are_refused(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(EnvelopeError, match="invalid lengths"):
        read_blob(joined(*parts, b"ciphertext"))


def test_the_nshield_format_is_named() -> None:
    raw = b"\xff\xff\x00\x02\x10\x87\x00\x0c" + bytes(40)

    with pytest.raises(EnvelopeError, match="nShield") as caught:
        read_blob(raw)

    # No key that is given to protect could open it.
    for error in (caught.value, wrong_format("c.json", raw)):
        assert "nShield package" in error.message
        assert "--from-key" not in str(error.hint)
        assert "docs/migration.md" in str(error.hint)
    with pytest.raises(StorageError, match="nShield package"):
        recognise(raw, name="it")


@pytest.mark.parametrize("key", [bytes(32), bytes(16), b""])
def test_another_key_is_a_decryption_error(key: bytes) -> None:
    with pytest.raises(DecryptionError):
        decrypt_blob(read_blob(blob()), key)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_an_altered_part_is_a_decryption_error(index: int) -> None:
    parts = list(read_blob(blob()))
    parts[index] = bytes([parts[index][0] ^ 1]) + parts[index][1:]

    with pytest.raises(DecryptionError):
        decrypt_blob(read_blob(joined(*parts)), KEY)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\xff\xff\x00", True),
        (b"\x01\x02\x02\x00x", True),
        (b"\x01\x02\xfe", True),
        (b"\xff\xfe{\x00", False),
        (b"\xfe\xff\x00{", False),
        (b"{}", False),
        (b"", False),
    ],
)
def test_what_may_be_an_official_file_is_told_by_its_bytes(raw: bytes, expected: bool) -> None:
    assert is_official(raw) is expected
