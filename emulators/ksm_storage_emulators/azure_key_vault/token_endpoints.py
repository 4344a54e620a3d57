"""The endpoints that hand out tokens: Entra ID, instance metadata (IMDS) and App Service."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from ksm_storage_emulators.azure_key_vault.access_tokens import LIFETIME_SECONDS, AccessTokens
from ksm_storage_emulators.azure_key_vault.client_assertions import (
    check_assertion,
    check_secret,
)
from ksm_storage_emulators.azure_key_vault.directory import Directory, Principal
from ksm_storage_emulators.azure_key_vault.entra_errors import (
    EntraError,
    IdentityError,
    entra_reply,
    identity_reply,
)
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.message import Reply, Request, json_reply

IMDS_PATH = "/metadata/identity/oauth2/token"
APP_SERVICE_PATH = "/msi/token"
RESOURCES = frozenset({"https://vault.azure.net", "https://managedhsm.azure.net"})
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenEndpoints:
    """Check who asks, and answer with a token for a vault."""

    def __init__(self, clock: MovableClock, directory: Directory, tokens: AccessTokens) -> None:
        """Serve the principals of the directory."""
        self._clock = clock
        self._directory = directory
        self._tokens = tokens
        self.identity_header = secrets.token_hex(16)

    def operation(self, request: Request) -> str | None:
        """Name a request that is for these endpoints, or return None."""
        if request.path == IMDS_PATH:
            return "imds-token"
        if request.path == APP_SERVICE_PATH:
            return "app-service-token"
        if request.path.endswith("/.well-known/openid-configuration"):
            return "openid-configuration"
        return "token" if request.path.endswith("/oauth2/v2.0/token") else None

    def respond(self, operation: str, request: Request) -> Reply:
        """Answer, errors included."""
        try:
            if operation == "imds-token":
                return self._imds(request)
            if operation == "app-service-token":
                return self._app_service(request)
            self._check_tenant(request)
            if operation == "openid-configuration":
                return self._configuration(request)
            return self._token(request)
        except EntraError as exc:
            return entra_reply(exc.number)
        except IdentityError as exc:
            return identity_reply(exc.name)

    def _check_tenant(self, request: Request) -> None:
        if request.path.split("/")[1] != self._directory.tenant_id:
            raise EntraError(90002)

    def _configuration(self, request: Request) -> Reply:
        base = _base(request)
        tenant = self._directory.tenant_id
        return json_reply(
            200,
            {
                "issuer": f"https://sts.windows.net/{tenant}/",
                "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
            },
        )

    def _token(self, request: Request) -> Reply:
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        if form.get("grant_type") != "client_credentials":
            raise EntraError(70003)
        principal = self._client(form, endpoint=f"{_base(request)}{request.path}")
        scope = next((s for s in form.get("scope", "").split() if s.endswith("/.default")), None)
        if scope is None:
            raise EntraError(90014)
        resource = scope.removesuffix("/.default")
        if resource not in RESOURCES:
            raise EntraError(500011)
        token = self._tokens.issue(principal, resource)
        return json_reply(
            200, {"token_type": "Bearer", "expires_in": LIFETIME_SECONDS, "access_token": token}
        )

    def _client(self, form: Mapping[str, str], *, endpoint: str) -> Principal:
        application = self._directory.application(form.get("client_id", ""))
        if application is None:
            raise EntraError(700016)
        now = self._clock.signing_now()
        if "client_secret" in form:
            check_secret(application, form["client_secret"], now=self._clock.now())
        elif form.get("client_assertion_type") == _ASSERTION:
            check_assertion(application, form["client_assertion"], endpoint=endpoint, now=now)
        else:
            raise EntraError(7000218)
        return application.principal

    def _imds(self, request: Request) -> Reply:
        if request.headers.get("metadata", "").lower() != "true":
            raise IdentityError("bad_request_102")
        return self._identity_token(request, version="2018-02-01")

    def _app_service(self, request: Request) -> Reply:
        given = request.headers.get("x-identity-header", "")
        if not hmac.compare_digest(given.encode(), self.identity_header.encode()):
            raise IdentityError("unauthorized_client")
        return self._identity_token(request, version="2019-08-01")

    def _identity_token(self, request: Request, *, version: str) -> Reply:
        query = dict(request.query)
        principal = self._directory.identity(query.get("client_id"))
        if principal is None or query.get("api-version") != version:
            raise IdentityError("invalid_request")
        resource = query.get("resource", "").rstrip("/")
        if resource not in RESOURCES:
            raise IdentityError("invalid_resource")
        body = {
            "access_token": self._tokens.issue(principal, resource),
            "expires_in": str(LIFETIME_SECONDS),
            # Clients compare it with their own clock.
            "expires_on": str(int(self._clock.signing_now()) + LIFETIME_SECONDS),
            "resource": resource,
            "token_type": "Bearer",
        }
        return json_reply(200, body)


def _base(request: Request) -> str:
    return f"https://{request.headers.get('host', '')}"
