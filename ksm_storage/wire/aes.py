"""AES as the protocol uses it: GCM for everything, CBC for the names and keys inside a folder."""

from __future__ import annotations

import os
from binascii import a2b_base64
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

from ..errors import DecryptionError
from .base64_forms import PADDED

KEY_BYTES = 32
GCM_IV_BYTES = 12
GCM_TAG_BYTES = 16
GCM_OVERHEAD_BYTES = GCM_IV_BYTES + GCM_TAG_BYTES
CBC_BLOCK_BYTES = 16
_LONG_BYTES = 1 << 16


class GcmKey:
    """Hold one AES-256-GCM key that opens and seals many messages ``iv || ciphertext || tag``.

    The key schedule is computed once, which is what makes opening thousands of record keys
    under one application key cheap.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key)

    def seal(self, plaintext: bytes) -> bytes:
        """Return iv, ciphertext and tag; the protocol has no associated data."""
        # 12 fresh random bytes: a key of this protocol seals far fewer than 2**32 messages.
        iv = os.urandom(GCM_IV_BYTES)
        return iv + self._cipher.encrypt(iv, plaintext, None)

    def open(self, sealed: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            DecryptionError: Another key, altered data, or too short to be a message at all.
        """
        return _open(self._cipher, sealed)

    def open_each(self, texts: Iterable[object]) -> list[bytes | None]:
        """Open many base64 messages under this key; None as for :func:`gcm_open_each`."""
        return _open_each(repeat(self._cipher), texts)


def gcm_seal(key: bytes, plaintext: bytes) -> bytes:
    """Seal one message under a key that is used only this once here."""
    return GcmKey(key).seal(plaintext)


def gcm_open(key: bytes, sealed: bytes) -> bytes:
    """Open one message; raise DecryptionError for another key or altered data."""
    if len(key) != KEY_BYTES:
        raise _wrong_length(key)
    # Not through _cipher: this runs once for each of thousands of records.
    return _open(AESGCM(key), sealed)


def gcm_open_each(keys: Sequence[bytes], texts: Sequence[object]) -> list[bytes | None]:
    """Open many base64 messages, each under a key of its own.

    None stands for a message that does not open or that needs a second look, such as one in
    url-safe base64: opened alone, it opens after all or raises what is wrong with it.
    """
    if set(map(len, keys)) != {KEY_BYTES}:
        return [None] * len(keys)
    return _open_each(map(AESGCM, keys), texts)


def _open_each(ciphers: Iterable[AESGCM], texts: Iterable[Any]) -> list[bytes | None]:
    opened: list[bytes | None] = []
    # For thousands of records, a call more in this loop is a hundredth of the time of reading them.
    for cipher, text in zip(ciphers, texts, strict=False):
        try:
            sealed = a2b_base64(text)
            # As from_base64 does: the length shows dropped characters.
            if 3 * len(text) - 4 * len(sealed) in PADDED:
                opened.append(cipher.decrypt(sealed[:GCM_IV_BYTES], sealed[GCM_IV_BYTES:], None))
                continue
        except (InvalidTag, ValueError, TypeError):
            pass
        opened.append(None)
    return opened


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise _wrong_length(key)
    return AESGCM(key)


def _wrong_length(key: bytes) -> DecryptionError:
    return DecryptionError(f"a key of the protocol has 32 bytes, not {len(key)}")


def _open(cipher: AESGCM, sealed: bytes) -> bytes:
    if len(sealed) < GCM_OVERHEAD_BYTES:
        raise DecryptionError(f"{len(sealed)} bytes are too few for an AES-GCM message")
    # A long answer is not copied; for a short one the copy is cheaper than the view.
    source = sealed if len(sealed) < _LONG_BYTES else memoryview(sealed)
    try:
        return cipher.decrypt(sealed[:GCM_IV_BYTES], source[GCM_IV_BYTES:], None)
    except InvalidTag as exc:
        raise DecryptionError("the data is altered or belongs to another key") from exc


def cbc_seal(key: bytes, plaintext: bytes) -> bytes:
    """Return ``iv || AES-256-CBC(PKCS7(plaintext))``, the form of folder names and child keys."""
    padder = PKCS7(CBC_BLOCK_BYTES * 8).padder()
    padded = padder.update(plaintext) + padder.finalize()
    iv = os.urandom(CBC_BLOCK_BYTES)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + encryptor.update(padded) + encryptor.finalize()


def cbc_open(key: bytes, sealed: bytes) -> bytes:
    """Return the plaintext of ``iv || ciphertext``.

    CBC has no tag: a wrong key is noticed by its padding only, in 255 of 256 cases, so the
    caller checks the form of what comes back.

    Raises:
        DecryptionError: A length that cannot be, or padding that is wrong.
    """
    if len(sealed) < 2 * CBC_BLOCK_BYTES or len(sealed) % CBC_BLOCK_BYTES:
        raise DecryptionError(f"{len(sealed)} bytes cannot be an AES-CBC message")
    iv, ciphertext = sealed[:CBC_BLOCK_BYTES], sealed[CBC_BLOCK_BYTES:]
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(CBC_BLOCK_BYTES * 8).unpadder()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as exc:
        raise DecryptionError("the data is altered or belongs to another key") from exc
