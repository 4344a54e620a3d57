"""One compute instance: its metadata service, and the service that issues its tokens.

https://docs.oracle.com/en-us/iaas/Content/Identity/Tasks/callingservicesfrominstances.htm and
https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm; the request for a
token is as Oracle's clients make it. No page says how either service refuses one: the codes are
those of all services.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.oci_vault.errors import OciError
from ksm_storage_emulators.oci_vault.identities import (
    Credential,
    Grant,
    Identities,
    Principal,
    new_private_key,
)
from ksm_storage_emulators.oci_vault.ocids import REGION, new_ocid
from ksm_storage_emulators.oci_vault.operation import Arguments
from ksm_storage_emulators.oci_vault.signature import SignatureVerifier

METADATA = "/opc/v2"
TOKENS = "/v1/x509"
_TOKEN_SECONDS = 3600.0
_MIN_KEY_BITS = 2048
_ISSUERS = "intermediateCertificates"
# Version 2 rejects requests with one of these: they came through a proxy.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host")


class Instances:
    """Answer as the metadata service of an instance does, once there is one."""

    def __init__(self, identities: Identities, clock: MovableClock) -> None:
        """Start without an instance."""
        self._identities = identities
        self._verifier = SignatureVerifier(self._find, clock, signs_host=False)
        self._credential: Credential | None = None
        self._certificate: x509.Certificate | None = None
        self._intermediate = b""

    def start(self, grants: Iterable[Grant]) -> Principal:
        """Start the instance, and return it as a principal."""
        instance = Principal(new_ocid("instance"), list(grants))
        private_key = new_private_key()
        certificate, intermediate = _certificates(
            private_key, self._identities.tenancy, instance.ocid
        )
        digest = certificate.fingerprint(hashes.SHA1())  # noqa: S303  # as clients name it
        fingerprint = ":".join(f"{byte:02X}" for byte in digest)
        key_id = f"{self._identities.tenancy}/fed-x509/{fingerprint}"
        self._certificate = certificate
        self._intermediate = intermediate.public_bytes(Encoding.PEM)
        self._credential = Credential(key_id, instance, private_key.public_key(), private_key)
        return instance

    def concerns(self, request: Request) -> bool:
        """Say whether a request is for one of the two services."""
        return request.path.startswith(f"{METADATA}/") or request.path == TOKENS

    def respond(self, request: Request) -> Reply:
        """Answer.

        Raises:
            OciError: There is no instance, or the request is not its own.
        """
        if self._credential is None or self._certificate is None:
            raise OciError("NotFound", "There is no instance.")
        if request.path == TOKENS:
            return json_reply(200, {"token": self._token(request, self._certificate)})
        if request.headers.get("authorization") != "Bearer Oracle":
            raise OciError("NotAuthenticated", "The header Authorization is missing.")
        if any(name in request.headers for name in _FORWARDED):
            raise OciError("NotAuthenticated", "The request was forwarded.")
        texts = {
            "instance/region": REGION.encode(),
            "identity/cert.pem": self._certificate.public_bytes(Encoding.PEM),
            "identity/intermediate.pem": self._intermediate,
            "identity/key.pem": self._credential.pem(),
        }
        text = texts.get(request.path.removeprefix(f"{METADATA}/"))
        if request.method != "GET" or text is None:
            raise OciError("NotFound", "There is no such metadata.")
        return Reply(200, text, {"Content-Type": "text/plain"})

    def _token(self, request: Request, certificate: x509.Certificate) -> str:
        if request.method != "POST":
            raise OciError("MethodNotAllowed", "Tokens are issued to POST.")
        caller = self._verifier.verify(request)
        arguments = Arguments(request.body)
        # The one whose key signed, and those up to the authority that the service knows.
        if arguments.binary("certificate") != certificate.public_bytes(Encoding.DER):
            raise OciError("NotAuthenticated", "The certificate is another one.")
        if not any(_issued(each, certificate) for each in arguments.binaries(_ISSUERS)):
            raise OciError("NotAuthenticated", "The issuer of the certificate is missing.")
        try:
            public_key = load_der_public_key(arguments.binary("publicKey"))
        except (ValueError, UnsupportedAlgorithm):
            public_key = None
        if not isinstance(public_key, rsa.RSAPublicKey) or public_key.key_size < _MIN_KEY_BITS:
            raise OciError("InvalidParameter", "publicKey is invalid.")
        issue = self._identities.issue_token
        return issue(caller.principal, public_key, seconds=_TOKEN_SECONDS).token

    def _find(self, key_id: str) -> Credential | None:
        found = self._credential
        return found if found is not None and found.key_id == key_id else None


def _issued(issuer: bytes, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(x509.load_der_x509_certificate(issuer))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _certificates(
    private_key: rsa.RSAPrivateKey, tenancy: str, instance: str
) -> tuple[x509.Certificate, x509.Certificate]:
    """Return the instance's certificate, and that of the authority that issued it."""
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([_attribute(NameOID.COMMON_NAME, "Identity Intermediate")])
    units = ("opc-certtype:instance", f"opc-instance:{instance}", f"opc-tenant:{tenancy}")
    subject = x509.Name(
        [_attribute(NameOID.COMMON_NAME, instance[:64])]
        + [_attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    )
    return (
        _issue(subject, private_key.public_key(), issuer, authority),
        _issue(issuer, authority.public_key(), issuer, authority),
    )


def _attribute(kind: x509.ObjectIdentifier, text: str) -> x509.NameAttribute[str]:
    # Names of tenancies are longer than X.509 allows.
    return x509.NameAttribute(kind, text, _validate=False)


def _issue(
    subject: x509.Name,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    authority: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(authority, hashes.SHA256())
    )
