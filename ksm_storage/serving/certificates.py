"""A certificate authority for one server, valid for the names of this machine and nothing else."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_CA_LIFE = dt.timedelta(days=3650)
_LEAF_LIFE = dt.timedelta(days=90)
# The clocks of containers and hosts differ a little.
_CLOCK_TOLERANCE = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Hold a certificate authority: its certificate, and the key that signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def new(cls, name: str, names: Sequence[str]) -> Authority:
        """Return a new authority that can vouch for these host names and addresses only.

        A client that trusts it puts no other host at risk, even if its key is stolen.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        limits = x509.NameConstraints([_subtree(item) for item in names], None)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(subject=subject, issuer=subject, key=key, life=_CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(limits, critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> Authority:
        """Return the authority of :attr:`certificate_pem` and :attr:`key_pem`.

        Raises:
            ValueError: Not a certificate and the private key that belongs to it.
        """
        parsed = x509.load_pem_x509_certificate(certificate)
        loaded = load_pem_private_key(key, password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("not an elliptic-curve key")
        if loaded.public_key() != parsed.public_key():
            raise ValueError("the key does not belong to the certificate")
        return cls(parsed, loaded)

    @property
    def certificate_pem(self) -> bytes:
        """What clients trust."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, without a password."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def name_outside(self, names: Sequence[str]) -> str | None:
        """Return the first name that the authority cannot vouch for, or None."""
        limits = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        known = limits.permitted_subtrees or []
        return next((name for name in names if _subtree(name) not in known), None)

    def issue(self, name: str, names: Sequence[str], *, password: bytes) -> bytes:
        """Return a fresh private key, encrypted, and a server certificate, as one PEM text."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        leaf = (
            _builder(
                subject=_subject(name), issuer=self.certificate.subject, key=key, life=_LEAF_LIFE
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(item) for item in names]),
                critical=False,
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        encryption = BestAvailableEncryption(password)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        return key_pem + leaf.public_bytes(Encoding.PEM)


class ServerCertificate:
    """Keep the TLS context of a server, and put fresh certificates into it."""

    def __init__(self, authority: Authority, name: str, names: Sequence[str]) -> None:
        self._authority = authority
        self._name = name
        self._names = names
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Two tickets cost a tenth of a handshake. The client that connects for each request, the
        # official one for Python, resumes no session; the others keep their connection.
        self.context.num_tickets = 0
        self.renew()

    def renew(self) -> None:
        """Use a fresh certificate for new connections."""
        # OpenSSL takes it from a file only, so its key is encrypted there, and the file goes.
        password = os.urandom(32).hex()
        pem = self._authority.issue(self._name, self._names, password=password.encode())
        descriptor, path = tempfile.mkstemp(prefix="ksm-storage-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
            self.context.load_cert_chain(path, password=password)
        finally:
            os.unlink(path)


def _builder(
    *, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
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


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _subtree(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_network(name))
    except ValueError:
        return x509.DNSName(name)
