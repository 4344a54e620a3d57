"""A workload identity pool with one provider, and which foreign tokens it takes.

https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.federation import Federation
from ksm_storage_emulators.json_web_token import read_token

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_TYPE = "urn:ietf:params:oauth:token-type:"
_POOL = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/demo"
PROVIDER = f"//{_POOL}/providers/cluster"
ISSUER = "https://cluster.example"
SUBJECT = "system:serviceaccount:apps:payments"
# Members of a request without which there is nothing to exchange, besides the grant type.
_NEEDED = ("audience", "scope", "requested_token_type", "subject_token", "subject_token_type")


class ExchangeError(Exception):
    """Report why a token is not exchanged; `code` is the error of OAuth."""

    def __init__(self, code: str, description: str) -> None:
        """Keep both for the reply."""
        super().__init__(description)
        self.code = code


class WorkloadIdentity:
    """Trust one subject of an outside issuer; `is_enabled` can be taken away."""

    def __init__(self, clock: MovableClock) -> None:
        """Make the issuer."""
        self.issuer = Federation(ISSUER, SUBJECT)
        self.is_enabled = True
        self._clock = clock

    def member(self, subject: str = SUBJECT) -> str:
        """Return what policies call a subject of the pool."""
        return f"principal://{_POOL}/subject/{subject}"

    def token(self, *, seconds: float = 3600, **wrong: str) -> str:
        """Return a fresh token of the issuer; `subject` or `audience` make it a wrong one."""
        given = {"audience": f"https:{PROVIDER}", **wrong}
        return self.issuer.token(expires_at=self._clock.now() + seconds, **given)

    def credentials_file(
        self, token_file: str, *, url: str, account: str | None = None, **members: object
    ) -> str:
        """Return the JSON of a federation file, as `create-cred-config` writes it.

        https://cloud.google.com/sdk/gcloud/reference/iam/workload-identity-pools/create-cred-config
        """
        document: dict[str, object] = {
            "universe_domain": "googleapis.com",
            "type": "external_account",
            "audience": PROVIDER,
            "subject_token_type": f"{_TYPE}jwt",
            "token_url": f"{url}/v1/token",
            "credential_source": {"file": token_file, "format": {"type": "text"}},
        }
        if account is not None:
            path = f"/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
            document["service_account_impersonation_url"] = f"{url}{path}"
        return json.dumps({**document, **members})

    def principal(self, form: Mapping[str, str]) -> str:
        """Return who a request for an exchange speaks for.

        Raises:
            ExchangeError: It is refused.
        """
        # Codes: https://www.rfc-editor.org/rfc/rfc8693#section-2.2.2; descriptions:
        # https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation
        if form.get("grant_type") != EXCHANGE:
            raise ExchangeError("unsupported_grant_type", "Invalid grant_type")
        for name in _NEEDED:
            if not form.get(name):
                raise ExchangeError("invalid_request", f"Missing required parameter: {name}")
        if form["requested_token_type"] != f"{_TYPE}access_token":
            raise ExchangeError("invalid_request", "Invalid requested_token_type")
        if form["audience"] != PROVIDER or not self.is_enabled:
            raise ExchangeError(
                "invalid_target",
                'The target service indicated by the "audience" parameters is invalid. This might '
                "either be because the pool or provider is disabled or deleted or because it "
                "doesn't exist.",
            )
        if form["subject_token_type"] not in (f"{_TYPE}jwt", f"{_TYPE}id_token"):
            raise ExchangeError("invalid_request", "Invalid subject_token_type")
        return self.member(str(self._claims(form["subject_token"])["sub"]))

    def _claims(self, text: str) -> Mapping[str, Any]:
        try:
            token = read_token(text)
        except ValueError:
            raise ExchangeError("invalid_request", "Unable to parse the ID Token.") from None
        claims = token.claims
        if claims.get("iss") != ISSUER or not self.issuer.signed(token):
            raise ExchangeError("invalid_grant", "Invalid JWT signature of the ID Token.")
        if not self._clock.signing_now() < float(claims["exp"]):
            raise ExchangeError("invalid_grant", "The ID Token is stale to sign-in.")
        if claims.get("aud") != [f"https:{PROVIDER}"]:
            raise ExchangeError(
                "invalid_grant", "The audience in ID Token does not match the expected audience."
            )
        if claims.get("sub") != SUBJECT:
            raise ExchangeError(
                "unauthorized_client",
                "The given credential is rejected by the attribute condition.",
            )
        return claims
