"""Who may call: users with API keys, sessions with tokens, and what each is allowed to do."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.control import json_object
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.oci_vault.ocids import new_ocid

REGION_NAME = "us-ashburn-1"

_PREFIX = "/_emulator/service/"


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to do something with one key, or with all of them (`*`).

    https://docs.oracle.com/en-us/iaas/Content/Identity/Reference/keypolicyreference.htm
    """

    permission: str
    key_id: str = "*"

    def covers(self, permission: str, key_id: str) -> bool:
        """Say whether this grant allows that."""
        return self.permission in ("*", permission) and self.key_id in ("*", key_id)


@dataclass(slots=True)
class Principal:
    """A user, an instance or another resource, with what it may do."""

    ocid: str
    grants: list[Grant]

    def may(self, permission: str, key_id: str) -> bool:
        """Say whether a policy allows it."""
        return any(grant.covers(permission, key_id) for grant in self.grants)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request is signed with. `key_id` is the `keyId` of its signature."""

    key_id: str
    principal: Principal
    public_key: rsa.RSAPublicKey = field(repr=False)
    # None where the caller made the key and kept it.
    private_key: rsa.RSAPrivateKey | None = field(default=None, repr=False)
    expires_at: float | None = None

    @property
    def user(self) -> str:
        """The OCID of the principal."""
        return self.principal.ocid

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public key, as the console shows it."""
        return fingerprint_of(self.public_key)

    @property
    def token(self) -> str:
        """The security token, of a session."""
        return self.key_id.removeprefix("ST$")

    def pem(self, passphrase: str | None = None) -> bytes:
        """Return the private key, encrypted if there is a passphrase."""
        if self.private_key is None:
            raise ValueError("the caller has the private key")
        protection: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            protection = BestAvailableEncryption(passphrase.encode())
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


class Identities:
    """The principals of the emulated tenancy and their credentials; safe across threads."""

    def __init__(self, clock: MovableClock) -> None:
        """Start without users."""
        self._clock = clock
        self._lock = threading.Lock()
        self._credentials: dict[str, Credential] = {}
        self.tenancy = new_ocid("tenancy")

    def add_user(self, grants: Iterable[Grant]) -> Credential:
        """Create a user with one API key."""
        private_key = new_private_key()
        user = Principal(new_ocid("user"), list(grants))
        public_key = private_key.public_key()
        key_id = f"{self.tenancy}/{user.ocid}/{fingerprint_of(public_key)}"
        return self.keep(Credential(key_id, user, public_key, private_key))

    def issue_session(self, principal: Principal, *, seconds: float) -> Credential:
        """Issue a security token, as `oci session authenticate` does for a user."""
        private_key = new_private_key()
        session = self.issue_token(principal, private_key.public_key(), seconds=seconds)
        return self.keep(replace(session, private_key=private_key))

    def issue_token(
        self, principal: Principal, public_key: rsa.RSAPublicKey, *, seconds: float
    ) -> Credential:
        """Issue a security token for a key that the caller made."""
        expires_at = self._clock.now() + seconds
        token = _json_web_token({"sub": principal.ocid, "exp": int(expires_at)})
        return self.keep(Credential(f"ST${token}", principal, public_key, None, expires_at))

    def keep(self, credential: Credential) -> Credential:
        """Make a credential known, and return it."""
        with self._lock:
            self._credentials[credential.key_id] = credential
        return credential

    def revoke(self, credential: Credential) -> None:
        """Make a credential unknown."""
        with self._lock:
            del self._credentials[credential.key_id]

    def find(self, key_id: str) -> Credential | None:
        """Return a credential that has not expired, or None."""
        with self._lock:
            credential = self._credentials.get(key_id)
        if credential is None:
            return None
        expired = credential.expires_at is not None and credential.expires_at <= self._clock.now()
        return None if expired else credential


def new_private_key() -> rsa.RSAPrivateKey:
    """Return a fresh key for signing requests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def fingerprint_of(public_key: rsa.RSAPublicKey) -> str:
    """Return the MD5 fingerprint of a public key in pairs of hexadecimal digits."""
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.md5(der, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _json_web_token(claims: Mapping[str, object]) -> str:
    # Clients read its expiry; who issued it is looked up, so that the signature may be noise.
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, claims)]
    parts.append(secrets.token_bytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def control_users(identities: Identities, request: Request) -> Reply | None:
    """Make a user with an API key; None for any other request.

    Raises:
        ValueError, TypeError, KeyError: A body that makes no sense.
    """
    if f"{request.method} {request.path.removeprefix(_PREFIX)}" != "POST users":
        return None
    body = json_object(request.body)
    user = identities.add_user(Grant(**grant) for grant in body["grants"])
    answer = {
        "tenancy": identities.tenancy,
        "user": user.user,
        "fingerprint": user.fingerprint,
        "private_key": user.pem().decode(),
    }
    return json_reply(200, answer)


def write_config(
    directory: Path, credential: Credential, *, tenancy: str, passphrase: str | None = None
) -> Path:
    """Write `config` and `key.pem` into a directory, and return the path of `config`.

    The passphrase protects the key and is not written down. A session's token goes to `token`.
    """
    key_file = _private(directory / "key.pem", credential.pem(passphrase))
    lines = [
        "[DEFAULT]",
        f"tenancy={tenancy}",
        f"fingerprint={credential.fingerprint}",
        f"key_file={key_file}",
        f"region={REGION_NAME}",
    ]
    if credential.expires_at is None:
        lines.append(f"user={credential.user}")
    else:
        token_file = _private(directory / "token", credential.token.encode())
        lines.append(f"security_token_file={token_file}")
    return _private(directory / "config", "\n".join([*lines, ""]).encode())


def _private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
