"""Who may ask for tokens: applications and managed identities of one tenant."""

from __future__ import annotations

import hashlib
import secrets
import threading
import uuid
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ksm_storage_emulators.federation import Federation


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody to whom permissions are granted, by the object id."""

    name: str
    client_id: str
    object_id: str


@dataclass(slots=True)
class Application:
    """An application with its credentials. The secret ends at `secret_ends_at`, if set."""

    principal: Principal
    secret: str = field(repr=False)
    secret_ends_at: float | None = None
    certificates: dict[str, RSAPublicKey] = field(default_factory=dict)
    federations: list[Federation] = field(default_factory=list)

    def add_certificate(self, pem: bytes) -> None:
        """Accept assertions that are signed with the key of an RSA certificate."""
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("only RSA certificates are emulated")
        self.certificates[hashlib.sha1(_der(certificate)).hexdigest()] = key  # noqa: S324  # x5t
        self.certificates[hashlib.sha256(_der(certificate)).hexdigest()] = key

    def federate(self, *, issuer: str, subject: str) -> Federation:
        """Accept tokens of an outside issuer, and return what issues them."""
        federation = Federation(issuer, subject)
        self.federations.append(federation)
        return federation


class Directory:
    """The applications and managed identities of one tenant; safe across threads."""

    def __init__(self) -> None:
        """Start without principals."""
        self.tenant_id = str(uuid.uuid4())
        self._lock = threading.Lock()
        self._applications: dict[str, Application] = {}
        self._identities: dict[str, Principal] = {}
        self._system_assigned: Principal | None = None

    def add_application(self, name: str) -> Application:
        """Register an application with a fresh secret."""
        application = Application(_new_principal(name), secrets.token_urlsafe(30))
        with self._lock:
            self._applications[application.principal.client_id] = application
        return application

    def add_user_assigned_identity(self, name: str) -> Principal:
        """Make an identity that is asked for by its client id."""
        principal = _new_principal(name)
        with self._lock:
            self._identities[principal.client_id] = principal
        return principal

    def assign_system_identity(self, name: str) -> Principal:
        """Make the identity that is meant when none is named."""
        principal = _new_principal(name)
        with self._lock:
            self._system_assigned = principal
        return principal

    def application(self, client_id: str) -> Application | None:
        """Return the application of a client id."""
        with self._lock:
            return self._applications.get(client_id)

    def identity(self, client_id: str | None) -> Principal | None:
        """Return a managed identity: by client id, or the system-assigned one."""
        with self._lock:
            if client_id is None:
                return self._system_assigned
            return self._identities.get(client_id)


def _new_principal(name: str) -> Principal:
    return Principal(name, str(uuid.uuid4()), str(uuid.uuid4()))


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)
