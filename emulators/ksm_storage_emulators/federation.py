"""An outside issuer of tokens, such as a Kubernetes cluster, that an application trusts."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ksm_storage_emulators.json_web_token import JsonWebToken, write_token

# https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-create-trust
AUDIENCE = "api://AzureADTokenExchange"


class Federation:
    """Trust in one subject of one issuer, together with the issuer's key for tests."""

    def __init__(self, issuer: str, subject: str) -> None:
        """Make the issuer's key."""
        self.issuer = issuer
        self.subject = subject
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(
        self, *, expires_at: float, subject: str | None = None, audience: str = AUDIENCE
    ) -> str:
        """Return a token of the issuer; the arguments make it wrong where a test wants that."""
        claims = {
            "iss": self.issuer,
            "sub": subject or self.subject,
            "aud": [audience],
            "exp": int(expires_at),
        }
        return write_token({"alg": "RS256", "typ": "JWT"}, claims, self._sign)

    def signed(self, token: JsonWebToken) -> bool:
        """Say whether the issuer signed the token."""
        try:
            self._key.public_key().verify(
                token.signature, token.signed, padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return False
        return True

    def _sign(self, signed: bytes) -> bytes:
        return self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
