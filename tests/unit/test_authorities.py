"""A file of authorities is looked through when a key is opened."""

from __future__ import annotations

import codecs
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from ksm_storage.contract.settings import validate_authorities
from ksm_storage.errors import SettingsError


@pytest.fixture(scope="module")
def certificate() -> bytes:
    """Return a self-signed certificate in PEM form."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=9999))
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("start", [b"", codecs.BOM_UTF8, b"# our own\n"])
def test_a_file_with_certificates_is_accepted(
    tmp_path: Path, certificate: bytes, start: bytes
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(start + certificate * 2)

    validate_authorities(str(path), named="the setting 'ca_file'")


def test_a_bundle_of_many_is_accepted(tmp_path: Path, certificate: bytes) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(b"# one of them\n".join([certificate] * 150))

    validate_authorities(str(path), named="the setting 'ca_file'")


@pytest.mark.parametrize("others", [1, 150])
@pytest.mark.parametrize("fault", ["no line end", "cut off", "damaged", "not text"])
def test_a_certificate_that_was_added_wrongly_is_an_error(
    tmp_path: Path, certificate: bytes, others: int, fault: str
) -> None:
    path, bundle = tmp_path / "ca.pem", certificate * others
    content = {
        "no line end": bundle.rstrip() + certificate,
        "cut off": bundle + certificate[:200],
        "damaged": bundle + certificate.replace(b"\nM", b"\nA", 1),
        "not text": bundle + certificate.replace(b"A", b"\xe4", 1),
    }[fault]
    path.write_bytes(content)
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context(cafile=path)

    with pytest.raises(SettingsError, match="has a damaged PEM certificate, or one that does not"):
        validate_authorities(str(path), named="it")


@pytest.mark.parametrize(
    "damage", ["empty", "no PEM", "DER", "cut off", "a bad character", "not text"]
)
def test_a_file_without_a_usable_certificate_is_refused(
    tmp_path: Path, certificate: bytes, damage: str
) -> None:
    path = tmp_path / "ca.pem"
    content = {
        "empty": b"",
        "no PEM": b"hello",
        "DER": ssl.PEM_cert_to_DER_cert(certificate.decode()),
        "cut off": certificate[:200],
        "a bad character": certificate.replace(b"A", b"!", 1),
        "not text": certificate.replace(b"A", b"\xe4", 1),
    }[damage]
    path.write_bytes(content)

    with pytest.raises(
        SettingsError, match=r"ca\.pem' of the setting 'ca_file' has no valid PEM certificate"
    ) as caught:
        validate_authorities(str(path), named="the setting 'ca_file'")

    assert caught.value.hint


def test_a_file_that_cannot_be_read_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"the file '.*gone\.pem' of .* does not exist"):
        validate_authorities(str(tmp_path / "gone.pem"), named="the setting 'ca_file'")
