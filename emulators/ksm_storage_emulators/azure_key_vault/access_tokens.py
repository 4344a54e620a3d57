"""Issue the access tokens of the emulated Entra ID, and check them at a vault."""

from __future__ import annotations

import hashlib
import hmac
import os

from ksm_storage_emulators.azure_key_vault.directory import Principal
from ksm_storage_emulators.azure_key_vault.errors import VaultError
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.json_web_token import (
    JsonWebToken,
    read_token,
    write_token,
)

LIFETIME_SECONDS = 3600


class AccessTokens:
    """Tokens of one tenant, signed with a key that never leaves this process."""

    def __init__(self, clock: MovableClock, tenant_id: str) -> None:
        """Make a signing key."""
        self._clock = clock
        self._tenant_id = tenant_id
        self._issuer = f"https://sts.windows.net/{tenant_id}/"
        self._key = os.urandom(32)

    def issue(self, principal: Principal, resource: str, *, issuer: str | None = None) -> str:
        """Return a token for the resource; `issuer` makes one of another tenant."""
        now = int(self._clock.now())
        claims = {
            "aud": resource,
            "iss": issuer or self._issuer,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_SECONDS,
            "appid": principal.client_id,
            "oid": principal.object_id,
            "tid": self._tenant_id,
        }
        return write_token({"typ": "JWT", "alg": "HS256"}, claims, self._sign)

    def object_id(self, authorization: str, *, audience: str) -> str:
        """Return who holds the token of an Authorization header.

        Raises:
            VaultError: Unauthorized, in the words of the service where they are known.
        """
        token = self._token(authorization)
        if not hmac.compare_digest(token.signature, self._sign(token.signed)):
            raise VaultError("Unauthorized", "Error validating token: the signature is invalid.")
        claims = token.claims
        if claims["aud"] != audience:
            found = f"Expected {audience}, found: {claims['aud']}."
            raise VaultError("Unauthorized", f"AKV10022: Invalid audience. {found}")
        if claims["iss"] != self._issuer:
            found = f"Expected one of {self._issuer}, found {claims['iss']}."
            raise VaultError("Unauthorized", f"AKV10032: Invalid issuer. {found}")
        if not claims["nbf"] <= self._clock.now() < claims["exp"]:
            raise VaultError("Unauthorized", "Error validating token: it has expired.")
        return str(claims["oid"])

    def _token(self, authorization: str) -> JsonWebToken:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise VaultError("Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        try:
            return read_token(text.strip())
        except ValueError as exc:
            raise VaultError("Unauthorized", "Error validating token: malformed.") from exc

    def _sign(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, hashlib.sha256)
