"""HPKE as RFC 9180 has it: against a published vector and against another implementation."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ksm_storage.providers.hpke import open_with, seal_to, shared_secret


def test_the_shared_secret_is_the_one_of_rfc_9180_a_1_1() -> None:
    ephemeral = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736")
    )
    public = bytes.fromhex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d")
    encapsulated = ephemeral.public_key().public_bytes_raw()
    agreed = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))

    assert shared_secret(agreed, encapsulated, public).hex() == (
        "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc"
    )


def test_another_implementation_opens_it_and_seals_for_it() -> None:
    hpke = pytest.importorskip(
        "cryptography.hazmat.primitives.hpke", reason="this cryptography has no HPKE"
    )
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    private = X25519PrivateKey.generate()
    public = private.public_key()

    # It takes no AAD.
    assert suite.decrypt(seal_to(public, b"text", info=b"i", aad=b""), private, b"i") == b"text"
    sealed = suite.encrypt(b"text", public, b"i")
    assert open_with(private, sealed, info=b"i", aad=b"") == b"text"


@pytest.mark.parametrize(
    ("info", "aad"), [(b"j", b"a"), (b"i", b"b"), (b"", b"a")], ids=["info", "aad", "no info"]
)
def test_another_info_or_aad_does_not_open_it(info: bytes, aad: bytes) -> None:
    private = X25519PrivateKey.generate()
    sealed = seal_to(private.public_key(), b"text", info=b"i", aad=b"a")

    with pytest.raises(InvalidTag):
        open_with(private, sealed, info=info, aad=aad)


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)], ids=["zero", "one"])
def test_a_point_of_small_order_is_refused(point: bytes) -> None:
    private = X25519PrivateKey.generate()

    with pytest.raises(ValueError, match=r"."):
        seal_to(X25519PublicKey.from_public_bytes(point), b"text", info=b"", aad=b"")
    with pytest.raises(ValueError, match=r"."):
        open_with(private, point + bytes(48), info=b"", aad=b"")
