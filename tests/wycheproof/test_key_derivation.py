"""HKDF.

- HKDF-SHA-512, 83 vectors: suite 1 of the envelope derives 32 bytes. The output of HKDF is a
  prefix of any longer one, so all 80 valid vectors fit; the 3 invalid ones ask for more bytes
  than HKDF has, which a constant length cannot.
- HKDF-SHA-256, 86 vectors: none fits. The copy for times without network takes the salt and the
  info from us, and HPKE puts labels of its own before both.
"""

from __future__ import annotations

from ksm_storage.envelope.opening import _expanded
from tests.wycheproof.vectors import Vector, raw, run, vectors


def test_the_derivation_of_an_envelopes_keys() -> None:
    found = vectors("Protocol/wycheproof/hkdf_sha512_test.json")
    chosen = [{**v, "okm": v["okm"][:64]} for v in found if v["result"] == "valid"]

    def derived(vector: Vector) -> bytes:
        whole = _expanded(raw(vector, "ikm"), raw(vector, "salt"), raw(vector, "info"))
        return whole[: vector["size"]]

    assert len(found) == 83
    assert run(chosen, derived, expect="okm", refusal=ValueError) == {"valid": 80}
