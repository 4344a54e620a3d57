"""A token that holds the KEK of a vector unwraps its DEK: the layouts of the format are true."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ksm_storage.envelope.codec import decode, wrap_aad
from ksm_storage.plugin import WrappedDek

from .opening import open_kek
from .soft_token import SoftToken

FILE = Path(__file__).parents[3] / "tests/vectors/with_kek/wrapped-deks.json"
VECTORS = [
    vector
    for vector in json.loads(FILE.read_text())["vectors"]
    # SoftHSM knows OAEP with SHA-1 only.
    if vector["recipient"].startswith("pkcs11://") and "SHA-256" not in vector["algorithm"]
]
# SoftHSM has RFC 5649 under the older name.
NAMES_OF_SOFTHSM = {"CKM_AES_KEY_WRAP_KWP": "CKM_AES_KEY_WRAP_PAD"}


@pytest.fixture
def with_keks(soft_token: SoftToken) -> Iterator[None]:
    """Put the two KEKs into the token."""
    keks = {type(vector["kek"]): vector["kek"] for vector in VECTORS}
    soft_token.import_keys(keks[str], keks[dict])
    yield
    for label in ("vector-aes", "vector-rsa"):
        soft_token.delete_key(label)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["algorithm"])
def test_a_vector_unwraps_in_the_token(with_keks: None, vector: dict[str, Any]) -> None:
    header = decode("".join(vector["envelope"]).encode("latin-1")).header
    aad = wrap_aad(header.envelope_id, header.generation, header.context)
    kind = "rsa;id=%32;type=private" if isinstance(vector["kek"], dict) else "aes;id=%31"
    name = f"token=ksm;object=vector-{kind}"
    algorithm = NAMES_OF_SOFTHSM.get(vector["algorithm"], vector["algorithm"])
    ciphertext = base64.b64decode(vector["wrapped_dek"])

    with open_kek(name) as kek:
        dek = kek.unwrap(WrappedDek(name, algorithm, ciphertext), aad=aad)

    assert dek.hex() == vector["dek"]
