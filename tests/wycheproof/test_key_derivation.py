"""HKDF, X25519 and HPKE.

- HKDF-SHA-512, 83 vectors: suite 1 of the envelope derives 32 bytes. The output of HKDF is a
  prefix of any longer one, so all 80 valid vectors fit; the 3 invalid ones ask for more bytes
  than HKDF has, which a constant length cannot.
- HKDF-SHA-256, 86 vectors: none fits. The recovery key and the copy for times without network
  take the salt and the info from us, and HPKE puts labels of its own before both.
- HPKE, 128 vectors: one is of our suite and mode; its first message fits, since each of our
  messages has a key of its own.
- X25519, 518 vectors: the agreed value is an inner one of HPKE. What fits is the refusal of
  public keys that agree on zero.
"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ksm_storage.envelope.opening import _expanded
from ksm_storage.providers.hpke import open_with
from tests.wycheproof.vectors import FOLDER, Vector, raw, run, vectors

OURS = {"mode": 0, "kem_id": 0x20, "kdf_id": 1, "aead_id": 2}


def test_the_derivation_of_an_envelopes_keys() -> None:
    found = vectors("Protocol/wycheproof/hkdf_sha512_test.json")
    chosen = [{**v, "okm": v["okm"][:64]} for v in found if v["result"] == "valid"]

    def derived(vector: Vector) -> bytes:
        whole = _expanded(raw(vector, "ikm"), raw(vector, "salt"), raw(vector, "info"))
        return whole[: vector["size"]]

    assert len(found) == 83
    assert run(chosen, derived, expect="okm", refusal=ValueError) == {"valid": 80}


def test_the_message_of_our_hpke_suite() -> None:
    text = (FOLDER / "Protocol/wycheproof/HPKE-test-vectors.json").read_text(encoding="utf-8")
    found = json.loads(text)
    chosen = [v for v in found if all(v[name] == value for name, value in OURS.items())]
    (vector,) = chosen
    first = vector["encryptions"][0]
    private = X25519PrivateKey.from_private_bytes(raw(vector, "skRm"))

    sealed = raw(vector, "enc") + raw(first, "ct")

    opened = open_with(private, sealed, info=raw(vector, "info"), aad=raw(first, "aad"))

    assert len(found) == 128
    assert opened.hex() == first["pt"]


def test_a_public_key_that_agrees_on_zero_is_refused() -> None:
    found = vectors("Protocol/wycheproof/x25519_test.json")
    chosen = [v for v in found if "ZeroSharedSecret" in v["flags"]]

    for vector in chosen:
        private = X25519PrivateKey.from_private_bytes(raw(vector, "private"))
        with pytest.raises(ValueError, match=r"."):
            open_with(private, raw(vector, "public") + bytes(48), info=b"", aad=b"")

    assert (len(found), len(chosen)) == (518, 31)
