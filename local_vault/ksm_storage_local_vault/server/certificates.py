"""The certificate authority of one vault, good for the names of this machine and nothing else."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ksm_storage.errors import SettingsError, StorageError

from ..data_folder import DataFolder, read_private, write_private

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
CA_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(days=90)
# Clocks of containers and hosts differ a little.
CLOCK_TOLERANCE = dt.timedelta(hours=1)


def prepare_tls(folder: DataFolder, names: Sequence[str]) -> Path:
    """Return a file with a fresh certificate for the names, its key and mode 0600.

    The authority is made once and its key never leaves the data folder. Its certificate is
    limited to the names of the first start, so that trusting it endangers no other host.
    """
    authority, authority_key = _authority(folder, names)
    _refuse_other_names(authority, names)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _leaf(authority, authority_key, key, names)
    path = folder.keys / "tls.pem"
    write_private(path, _private_pem(key) + leaf.public_bytes(Encoding.PEM))
    return path


def _authority(
    folder: DataFolder, names: Sequence[str]
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key_path = folder.keys / "ca-key.pem"
    if not folder.ca_certificate.exists() or not key_path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(key_path, _private_pem(key))
        certificate = _authority_certificate(key, names)
        write_private(folder.ca_certificate, certificate.public_bytes(Encoding.PEM))
    try:
        certificate = x509.load_pem_x509_certificate(read_private(folder.ca_certificate))
        loaded = load_pem_private_key(read_private(key_path), password=None)
    except ValueError as exc:
        raise StorageError("the vault's certificate authority is damaged") from exc
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise StorageError("the vault's certificate authority is damaged")
    return certificate, loaded


def _refuse_other_names(authority: x509.Certificate, names: Sequence[str]) -> None:
    permitted = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    known = permitted.permitted_subtrees or []
    for name in names:
        if _subtree(name) not in known:
            raise SettingsError(
                f"the vault's certificate authority was not made for {name!r}",
                hint="remove ca.pem and keys/ca-key.pem from the data folder for a new authority",
            )


def _authority_certificate(
    key: ec.EllipticCurvePrivateKey, names: Sequence[str]
) -> x509.Certificate:
    name = _name("ksm-storage local vault CA")
    builder = _builder(subject=name, issuer=name, public_key=key.public_key(), life=CA_LIFE)
    permitted = [_subtree(item) for item in names]
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
) -> x509.Certificate:
    builder = _builder(
        subject=_name("ksm-storage local vault"),
        issuer=authority.subject,
        public_key=key.public_key(),
        life=LEAF_LIFE,
    )
    alternatives = x509.SubjectAlternativeName([_general_name(item) for item in names])
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(alternatives, critical=False)
        .add_extension(server, critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    life: dt.timedelta,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _subtree(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_network(text))
    except ValueError:
        return x509.DNSName(text)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
