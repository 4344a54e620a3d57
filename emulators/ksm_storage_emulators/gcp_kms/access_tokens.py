"""Callers and their tokens: opaque ones that this emulator issued, and signed assertions.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.gcp_kms.errors import GcpError

AUDIENCE = "https://cloudkms.googleapis.com/"
_SCOPE = "https://www.googleapis.com/auth/"
SCOPES = frozenset([f"{_SCOPE}cloud-platform", f"{_SCOPE}cloudkms"])
# What IAM Credentials takes instead.
IAM_SCOPES = frozenset([f"{_SCOPE}cloud-platform", f"{_SCOPE}iam"])
LIFETIME_SECONDS = 3600
# What the service allows between its clock and the caller's.
_SKEW_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Account:
    """A service account with one key."""

    email: str
    key_id: str
    private_key: rsa.RSAPrivateKey = field(repr=False)

    def key_file(self, token_uri: str) -> str:
        """Return the JSON of its key, as `gcloud iam service-accounts keys create` writes it."""
        pem = self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()
        document = {
            "type": "service_account",
            "project_id": self.email.partition("@")[2].partition(".")[0],
            "private_key_id": self.key_id,
            "private_key": pem,
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
        }
        return json.dumps(document)


@dataclass(frozen=True, slots=True)
class _Token:
    email: str
    scopes: frozenset[str]
    expires_at: float


class AccessTokens:
    """Know the accounts, issue tokens and verify them; safe across threads."""

    def __init__(self, clock: MovableClock) -> None:
        """Start without accounts."""
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._issued: dict[str, _Token] = {}
        self._refreshing: dict[str, str] = {}

    def add_account(self, email: str) -> Account:
        """Return a new service account."""
        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        account = Account(email, secrets.token_hex(20), private_key)
        with self._lock:
            self._accounts[email] = account
        return account

    def add_user(self, email: str) -> str:
        """Return a refresh token of a user."""
        token = f"1//{secrets.token_urlsafe(48)}"
        with self._lock:
            self._refreshing[token] = email
        return token

    def remove(self, email: str) -> None:
        """Delete an account with its key and its refresh tokens."""
        with self._lock:
            self._accounts.pop(email, None)
            for token in [token for token, each in self._refreshing.items() if each == email]:
                del self._refreshing[token]

    def knows(self, email: str) -> bool:
        """Say whether there is such an account."""
        return email in self._accounts

    def issue(self, email: str, scopes: frozenset[str], *, seconds: int = LIFETIME_SECONDS) -> str:
        """Return a fresh opaque token."""
        token = f"ya29.{secrets.token_urlsafe(48)}"
        with self._lock:
            self._issued[token] = _Token(email, scopes, self._clock.now() + seconds)
        return token

    def refreshed(self, token: str) -> str | None:
        """Return whose refresh token it is, or None."""
        return self._refreshing.get(token)

    def caller(self, authorization: str | None, *, scopes: frozenset[str] = SCOPES) -> str:
        """Return the e-mail address of the caller who sent the header; one of the scopes will do.

        Raises:
            GcpError: UNAUTHENTICATED, or PERMISSION_DENIED for a token of other scopes.
        """
        if not authorization:
            raise GcpError("no credentials")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise GcpError("unknown token")
        issued = self._issued.get(token)
        if issued is None:
            return self._self_signed(token, scopes)
        if self._clock.now() >= issued.expires_at:
            raise GcpError("expired token")
        if not issued.scopes & scopes:
            raise GcpError("narrow token")
        return issued.email

    def verified(self, assertion: str) -> dict[str, Any]:
        """Return the claims of an assertion that one of the accounts signed and that holds now.

        Raises:
            ValueError: It is not such an assertion.
        """
        head, body, mark = assertion.split(".")
        header, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
        account = self._accounts.get(str(claims.get("iss")))
        if account is None or header.get("alg") != "RS256" or header.get("kid") != account.key_id:
            raise ValueError("not signed by a known key")
        try:
            account.private_key.public_key().verify(
                _decoded(mark), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            raise ValueError("not signed by this key") from None
        issued_at, expires_at = float(claims["iat"]), float(claims["exp"])
        now = self._clock.signing_now()
        if not issued_at - _SKEW_SECONDS <= now < expires_at + _SKEW_SECONDS:
            raise ValueError("not valid now")
        if expires_at - issued_at > LIFETIME_SECONDS:
            raise ValueError("valid for too long")
        return dict(claims)

    def _self_signed(self, token: str, scopes: frozenset[str]) -> str:
        # https://google.aip.dev/auth/4111: an audience or scopes, and the account as its subject.
        try:
            claims = self.verified(token)
        except (ValueError, KeyError, TypeError) as exc:
            raise GcpError("unknown token") from exc
        if claims.get("sub") != claims["iss"]:
            raise GcpError("unknown token")
        given = frozenset(str(claims.get("scope", "")).split())
        if claims.get("aud") != AUDIENCE and not given & scopes:
            raise GcpError("narrow token")
        return str(claims["iss"])


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
