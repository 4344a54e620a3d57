"""The hybrid recovery key: ML-KEM-768, X25519, X-Wing and HPKE.

- ML-KEM-768, 201 vectors of decapsulation and 100 of key generation: the primitive under the
  recovery key. 23 of the former are left out: their seed or ciphertext has another length, which
  the key derives or the wrapped DEK has checked.
- ML-KEM-768, 265 vectors of encapsulation: what fits is the refusal of 132 invalid public keys.
- X25519, 518 vectors: what fits is the refusal of public keys that agree on zero.
- X-Wing, the 3 vectors of its draft: the public key of a secret, and what is encapsulated to it.
- HPKE with X-Wing, 2 vectors of its draft: one has our key derivation. It has another AEAD, and an
  AAD, so that the key of its message is compared and not the message.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from Crypto.Protocol import HPKE
from Crypto.PublicKey import Hybrid
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.errors import DecryptionError, KeyStateError
from ksm_storage.providers.recovery_key import open_with, public_key, seal_to
from tests.vectors.with_kek.wrapping import hpke_key
from tests.wycheproof.vectors import FOLDER, Vector, raw, run, vectors

SECRET = bytes(range(32))
X_WING = json.loads(
    (Path(__file__).parent.parent / "vectors/outside/x_wing.json").read_text(encoding="utf-8")
)
ML_KEM_BYTES = 1_184
AES_256_GCM, CHACHA20_POLY1305 = 2, 3


def test_the_public_key_of_a_seed() -> None:
    found = vectors("Protocol/wycheproof/mlkem_768_keygen_seed_test.json")

    def generated(vector: Vector) -> bytes:
        private = MLKEM768PrivateKey.from_seed_bytes(raw(vector, "seed"))
        return private.public_key().public_bytes_raw()

    assert run(found, generated, expect="ek", refusal=ValueError) == {"valid": 100}


def test_decapsulation() -> None:
    found = vectors("Protocol/wycheproof/mlkem_768_test.json")

    def decapsulated(vector: Vector) -> bytes:
        return MLKEM768PrivateKey.from_seed_bytes(raw(vector, "seed")).decapsulate(raw(vector, "c"))

    assert run(found, decapsulated, expect="K", refusal=ValueError) == {
        "valid": 161,
        "invalid": 40,
    }


def test_an_invalid_public_key_of_ml_kem_is_refused() -> None:
    found = vectors("Protocol/wycheproof/mlkem_768_encaps_test.json")
    chosen = [v for v in found if v["result"] == "invalid"]

    for vector in chosen:
        public = raw(vector, "ek") + public_key(SECRET)[-32:]
        with pytest.raises(KeyStateError):
            seal_to("office", public, bytes(32), aad=b"")

    assert (len(found), len(chosen)) == (265, 132)


def test_a_public_key_of_x25519_that_agrees_on_zero_is_refused() -> None:
    found = vectors("Protocol/wycheproof/x25519_test.json")
    chosen = [v for v in found if "ZeroSharedSecret" in v["flags"]]
    public = public_key(SECRET)
    sealed = seal_to("office", public, bytes(32), aad=b"")

    for vector in chosen:
        point = raw(vector, "public")
        with pytest.raises(KeyStateError):
            seal_to("office", public[:ML_KEM_BYTES] + point, bytes(32), aad=b"")
        with pytest.raises(DecryptionError):
            open_with("office", SECRET, sealed[:-80] + point + sealed[-48:], aad=b"")

    assert (len(found), len(chosen)) == (518, 31)


@pytest.mark.parametrize("vector", X_WING, ids=["1", "2", "3"])
def test_the_draft_of_x_wing(vector: Vector) -> None:
    secret, info = raw(vector, "sk"), b"ksm-storage recovery wrap v1\0office\0aad"
    key, nonce = hpke_key(raw(vector, "ss"), info, aead=AES_256_GCM)
    sealed = raw(vector, "pk", "ct") + AESGCM(key).encrypt(nonce, b"dek", None)

    assert public_key(secret).hex() == vector["pk"]
    assert open_with("office", secret, sealed, aad=b"aad") == b"dek"


def test_the_draft_of_hpke_with_x_wing() -> None:
    text = (FOLDER / "Protocol/wycheproof/HPKE-PQ-test-vectors.json").read_text(encoding="utf-8")
    (vector,) = (v for v in json.loads(text) if (v["kem_id"], v["kdf_id"]) == (0x647A, 1))

    key, nonce = hpke_key(raw(vector, "shared_secret"), raw(vector, "info"), aead=CHACHA20_POLY1305)

    assert vector["aead_id"] == CHACHA20_POLY1305
    assert (key.hex(), nonce.hex()) == (vector["key"], vector["base_nonce"])
    assert public_key(raw(vector, "skRm")).hex() == vector["pkRm"]


def test_another_implementation_opens_it_and_seals_for_it() -> None:
    public, aad = public_key(SECRET), b"aad"
    private = Hybrid.generate(param_set=Hybrid.MLKEM768_X25519, randfunc=lambda size: SECRET)
    info = b"ksm-storage recovery wrap v1\0office\0" + aad
    suite: dict[str, Any] = {"aead_id": HPKE.AEAD.AES256_GCM, "info": info}

    sealed = seal_to("office", public, b"dek", aad=aad)
    opened = HPKE.new(receiver_key=private, enc=sealed[1216:2336], **suite).unseal(sealed[2336:])
    sender = HPKE.new(receiver_key=private.public_key(), **suite)
    ciphertext = sender.seal(b"dek")

    assert opened == b"dek"
    assert sealed[:1216] == public
    theirs = public + sender.enc + ciphertext
    assert open_with("office", SECRET, theirs, aad=aad) == b"dek"
