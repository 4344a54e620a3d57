"""What a plugin signs is checked before it goes to the server as a device's signature."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ksm_storage.contract.abilities import SigningKey
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import KeyStateError, PluginContractError, SettingsError, ThrottledError
from ksm_storage.keys.kek import Kek
from ksm_storage.keys.signing import sign_digest, signing_key
from ksm_storage.testing.memory_kek import MemoryKek

KEY = ec.generate_private_key(ec.SECP256R1())
DIGEST = hashlib.sha256(b"a request").digest()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Signer(MemoryKek):
    """Answer with what the test planted, and count."""

    def __init__(self, answer: object) -> None:
        super().__init__("device")
        self.answer: Any = answer
        self.calls = 0

    def signing_key(self) -> SigningKey:
        return self._answer()  # type: ignore[no-any-return]  # whatever was planted

    def sign_digest(self, digest: bytes) -> bytes:
        return self._answer()  # type: ignore[no-any-return]  # whatever was planted

    def _answer(self) -> Any:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def kek_of(answer: object) -> Kek:
    return Kek(KeyUri("memory", "device"), Signer(answer))


def signature_of(digest: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.sign(digest, ec.ECDSA(Prehashed(SHA256())))


def der_of(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def test_a_signature_of_the_devices_key_passes() -> None:
    signature = signature_of(DIGEST)

    assert sign_digest(kek_of(signature), DIGEST, public_key=KEY.public_key()) == signature


def test_a_signature_with_a_high_s_passes() -> None:
    # Keeper accepts both halves, and services do not choose.
    r, s = decode_dss_signature(signature_of(DIGEST))
    for each in (s, ORDER - s):
        signature = encode_dss_signature(r, each)
        assert sign_digest(kek_of(signature), DIGEST, public_key=KEY.public_key()) == signature


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        os.urandom(64),
        b"\x30\x06\x02\x01\x00\x02\x01\x00",
        signature_of(DIGEST) + b"\0",
        signature_of(DIGEST)[:-1],
        b"\x30\x81" + signature_of(DIGEST)[1:],
        "text",
        None,
    ],
    ids=["empty", "raw", "zeros", "longer", "cut", "long form", "text", "none"],
)
def test_what_is_not_a_der_signature_breaks_the_contract(signature: object) -> None:
    with pytest.raises(PluginContractError):
        sign_digest(kek_of(signature), DIGEST, public_key=KEY.public_key())


@pytest.mark.parametrize(
    "signature",
    [
        signature_of(hashlib.sha256(DIGEST).digest()),
        signature_of(DIGEST, ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["hashed twice", "another key"],
)
def test_a_signature_that_does_not_verify_is_a_key_state_error(signature: bytes) -> None:
    with pytest.raises(KeyStateError, match="another key than this device") as caught:
        sign_digest(kek_of(signature), DIGEST, public_key=KEY.public_key())

    assert caught.value.hint is not None


def test_a_failure_is_not_repeated() -> None:
    kek = kek_of(ThrottledError("slow down"))

    with pytest.raises(ThrottledError):
        sign_digest(kek, DIGEST, public_key=KEY.public_key())

    assert isinstance(kek.wrapper, Signer)
    assert kek.wrapper.calls == 1


def test_only_a_sha256_digest_is_signed() -> None:
    kek = kek_of(signature_of(DIGEST))

    with pytest.raises(ValueError, match="32 bytes"):
        sign_digest(kek, b"a whole request", public_key=KEY.public_key())

    assert isinstance(kek.wrapper, Signer)
    assert kek.wrapper.calls == 0


def test_a_plugin_that_cannot_sign_is_a_settings_error() -> None:
    kek = Kek(KeyUri("memory", "device"), MemoryKek("device"))

    with pytest.raises(SettingsError, match="cannot sign"):
        signing_key(kek)
    with pytest.raises(SettingsError, match="cannot sign"):
        sign_digest(kek, DIGEST, public_key=KEY.public_key())


def test_a_p256_key_is_described() -> None:
    found = SigningKey("device@1", der_of(KEY))

    assert signing_key(kek_of(found)) == found


@pytest.mark.parametrize(
    "found",
    [
        SigningKey("device", der_of(ec.generate_private_key(ec.SECP384R1()))),
        SigningKey("device", b"junk"),
        SigningKey("two words", der_of(KEY)),
        SigningKey("", der_of(KEY)),
        None,
    ],
    ids=["P-384", "junk", "spaces", "no name", "none"],
)
def test_what_is_not_a_p256_key_breaks_the_contract(found: object) -> None:
    with pytest.raises(PluginContractError):
        signing_key(kek_of(found))
