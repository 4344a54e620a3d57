"""Signing with the RSA key of a credential, without the slow check of its factors."""

from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from ksm_storage.plugin import NotDirectError, rsa_signature

NAMES = ("n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp")


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """Return a key."""
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_the_signature_is_that_of_cryptography(key: rsa.RSAPrivateKey, form: PrivateFormat) -> None:
    text = b"a request"

    signature = rsa_signature(_pem(key, form), text)

    assert signature == key.sign(text, padding.PKCS1v15(), SHA256())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [1, 2])
def test_numbers_that_do_not_fit_together_sign_nothing(
    key: rsa.RSAPrivateKey, name: str, more: int
) -> None:
    numbers = _numbers(key)
    numbers[name] += more

    with pytest.raises((NotDirectError, ValueError)):
        rsa_signature(_pem_of(numbers), b"a request")


@pytest.mark.parametrize("p", [0, 1])
def test_a_factor_that_is_none_signs_nothing(key: rsa.RSAPrivateKey, p: int) -> None:
    numbers = _numbers(key)

    with pytest.raises((NotDirectError, ValueError)):
        rsa_signature(_pem_of({**numbers, "p": p, "q": numbers["n"]}), b"a request")


@pytest.mark.parametrize("even", ["p", "q"])
def test_an_even_factor_that_fits_all_else_signs_nothing(key: rsa.RSAPrivateKey, even: str) -> None:
    odd, other = _numbers(key)["q"], _numbers(key)["p"] + 1
    while math.gcd(65537, other - 1) > 1 or math.gcd(other, odd) > 1:
        other += 2
    p, q = (other, odd) if even == "p" else (odd, other)
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    numbers = {"n": p * q, "e": 65537, "d": d, "p": p, "q": q}
    derived = {"dmp1": d % (p - 1), "dmq1": d % (q - 1), "iqmp": pow(q, -1, p)}

    with pytest.raises(NotDirectError):
        rsa_signature(_pem_of({**numbers, **derived}), b"a request")


def test_a_key_of_another_kind_signs_nothing() -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    with pytest.raises(NotDirectError):
        rsa_signature(_pem(key), b"a request")


def test_a_key_with_a_passphrase_signs_nothing(key: rsa.RSAPrivateKey) -> None:
    pem = _pem(key, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))

    with pytest.raises(TypeError):
        rsa_signature(pem, b"a request")


def _pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    sealed: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, sealed or NoEncryption())


def _numbers(key: rsa.RSAPrivateKey) -> dict[str, int]:
    held = key.private_numbers()
    public = held.public_numbers
    values = (public.n, public.e, held.d, held.p, held.q, held.dmp1, held.dmq1, held.iqmp)
    return dict(zip(NAMES, values, strict=True))


def _pem_of(numbers: dict[str, int]) -> bytes:
    # By hand: cryptography writes no key that it finds damaged. Source: RFC 8017, A.1.2.
    from base64 import encodebytes

    body = b"".join(_der(2, _magnitude(number)) for number in (0, *numbers.values()))
    text = encodebytes(_der(0x30, body)).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{text}-----END RSA PRIVATE KEY-----\n".encode()


def _magnitude(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    head = bytes([size]) if size < 128 else bytes([128 + len(length)]) + length
    return bytes([tag]) + head + content
