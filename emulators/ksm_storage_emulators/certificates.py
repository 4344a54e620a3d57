"""A private certificate authority, made anew at each start, and a server certificate."""

import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = timedelta(days=2)


class PrivateAuthority:
    """A certificate authority whose key never leaves this process."""

    def __init__(self) -> None:
        """Make a key and a self-signed certificate."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name("ksm-storage emulators private CA")
        self._certificate = (
            _builder(name, issuer=name, public_key=self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that clients have to trust."""
        return self._certificate.public_bytes(Encoding.PEM)

    def server_context(self, hostnames: Sequence[str]) -> ssl.SSLContext:
        """Return a TLS context for localhost, its addresses and the names given."""
        pem = b"".join(self.server_pem(hostnames))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # The ssl module reads keys from files only; the directory is 0700 and short-lived.
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "server.pem")
            path.write_bytes(pem)
            context.load_cert_chain(path)
        return context

    def server_pem(self, hostnames: Sequence[str]) -> tuple[bytes, bytes]:
        """Return a private key and a certificate for localhost and the names given."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(key.public_key(), hostnames).public_bytes(Encoding.PEM)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), certificate

    def _issue(self, key: ec.EllipticCurvePublicKey, hostnames: Sequence[str]) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.DNSName(n) for n in ("localhost", *hostnames)]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        server_auth = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return (
            _builder(_name("localhost"), issuer=self._certificate.subject, public_key=key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(server_auth, critical=False)
            .add_extension(authority_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, *, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # An hour back: containers and their hosts disagree about the time.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALIDITY)
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
