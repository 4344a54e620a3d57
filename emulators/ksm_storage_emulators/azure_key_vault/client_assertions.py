"""Check what an application shows instead of a secret: a signed assertion, or an outside token."""

from __future__ import annotations

import hmac
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ksm_storage_emulators.azure_key_vault.directory import Application
from ksm_storage_emulators.azure_key_vault.entra_errors import EntraError
from ksm_storage_emulators.federation import AUDIENCE
from ksm_storage_emulators.json_web_token import (
    JsonWebToken,
    decode,
    read_token,
)

_PADDINGS: dict[str, Any] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
}


def check_assertion(application: Application, text: str, *, endpoint: str, now: float) -> None:
    """Pass if the assertion proves that the application asks.

    Raises:
        EntraError: It does not.
    """
    try:
        token = read_token(text)
    except ValueError as exc:
        raise EntraError(700027) from exc
    if "x5t" in token.header or "x5t#S256" in token.header:
        _check_certificate(application, token, endpoint)
    else:
        _check_federation(application, token)
    if not now < float(token.claims.get("exp", 0)):
        raise EntraError(700024)


def _check_certificate(application: Application, token: JsonWebToken, endpoint: str) -> None:
    thumbprint = str(token.header.get("x5t#S256") or token.header["x5t"])
    key = application.certificates.get(decode(thumbprint).hex())
    client_id = application.principal.client_id
    claims = token.claims
    if key is None or not _is_signed(token, key) or claims.get("aud") != endpoint:
        raise EntraError(700027)
    if not (claims.get("iss") == claims.get("sub") == client_id):
        raise EntraError(700027)


def _check_federation(application: Application, token: JsonWebToken) -> None:
    audience = token.claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    for federation in application.federations:
        names = (federation.issuer, federation.subject)
        if names == (token.claims.get("iss"), token.claims.get("sub")) and AUDIENCE in audiences:
            if not federation.signed(token):
                raise EntraError(700027)
            return
    raise EntraError(700211)


def _is_signed(token: JsonWebToken, key: RSAPublicKey) -> bool:
    scheme = _PADDINGS.get(str(token.header.get("alg")))
    if scheme is None:
        return False
    try:
        key.verify(token.signature, token.signed, scheme, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def check_secret(application: Application, secret: str, *, now: float) -> None:
    """Pass if the secret is the application's and has not ended.

    Raises:
        EntraError: It is not.
    """
    if not hmac.compare_digest(secret.encode(), application.secret.encode()):
        raise EntraError(7000215)
    if application.secret_ends_at is not None and now >= application.secret_ends_at:
        raise EntraError(7000222)
