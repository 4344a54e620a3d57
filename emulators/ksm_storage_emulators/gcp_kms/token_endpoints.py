"""The HTTP side: OAuth tokens, foreign tokens, IAM Credentials and the metadata server."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.gcp_kms.access_tokens import (
    IAM_SCOPES,
    LIFETIME_SECONDS,
    AccessTokens,
)
from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.policy import Policy
from ksm_storage_emulators.gcp_kms.workload_identity import ExchangeError, WorkloadIdentity
from ksm_storage_emulators.message import Reply, Request, json_reply

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_IMPERSONATE = "iam.serviceAccounts.getAccessToken"
_GENERATE = re.compile(r"/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken")
_METADATA = "/computeMetadata/v1/"
_FLAVOR = {"Metadata-Flavor": "Google"}


def operation_of(request: Request) -> str:
    """Name the operation of an HTTP request."""
    if request.path == "/token":
        return "Token"
    if request.path == "/v1/token":
        return "ExchangeToken"
    if _GENERATE.fullmatch(request.path):
        return "GenerateAccessToken"
    if request.path == "/" or request.path.startswith(_METADATA):
        return "Metadata"
    return "unknown"


class TokenEndpoints:
    """Answer requests for tokens.

    `instance_account` is who the metadata server speaks for; None if there is no server.
    `workload_identity` is the one pool whose foreign tokens are exchanged.
    """

    def __init__(self, tokens: AccessTokens, policy: Policy, clock: MovableClock) -> None:
        """Answer from these."""
        self._tokens = tokens
        self._policy = policy
        self._clock = clock
        self.workload_identity = WorkloadIdentity(clock)
        self.instance_account: str | None = None

    def respond(self, request: Request, *, url: str) -> Reply:
        """Answer; `url` is this emulator's own address."""
        operation = operation_of(request)
        if operation == "Token" and request.method == "POST":
            return self._token(request, audience=f"{url}/token")
        if operation == "ExchangeToken" and request.method == "POST":
            return self._exchanged(request)
        if operation == "GenerateAccessToken" and request.method == "POST":
            return self._generated(request)
        if operation == "Metadata" and self.instance_account is not None:
            return self._metadata(request, self.instance_account)
        return json_reply(404, {"error": {"code": 404, "status": "NOT_FOUND"}})

    def _token(self, request: Request, *, audience: str) -> Reply:
        # https://developers.google.com/identity/protocols/oauth2/service-account#httprest
        form = dict(parse_qsl(request.body.decode()))
        if form.get("grant_type") == "refresh_token":
            email = self._tokens.refreshed(form.get("refresh_token", ""))
            if email is None:
                return _oauth_error("invalid_grant", "Token has been expired or revoked.")
            return self._granted(email, frozenset(form.get("scope", _DEFAULT_SCOPE).split()))
        if form.get("grant_type") != JWT_BEARER:
            return _oauth_error("unsupported_grant_type", "Invalid grant_type")
        try:
            claims = self._tokens.verified(form.get("assertion", ""))
        except (ValueError, KeyError, TypeError):
            return _oauth_error("invalid_grant", "Invalid JWT Signature.")
        if claims.get("aud") not in (audience, "https://oauth2.googleapis.com/token"):
            return _oauth_error("invalid_grant", "Invalid JWT: Failed audience check.")
        scopes = frozenset(str(claims.get("scope", "")).split())
        if not scopes:
            return _oauth_error("invalid_scope", "Empty or missing scope not allowed.")
        return self._granted(str(claims["iss"]), scopes)

    def _exchanged(self, request: Request) -> Reply:
        # https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
        try:
            form = dict(parse_qsl(request.body.decode()))
            principal = self.workload_identity.principal(form)
        except ExchangeError as exc:
            return _oauth_error(exc.code, str(exc))
        reply = self._granted(principal, frozenset(form["scope"].split()))
        issued = {"issued_token_type": form["requested_token_type"]}
        return json_reply(200, {**json.loads(reply.body), **issued})

    def _granted(self, email: str, scopes: frozenset[str]) -> Reply:
        token = self._tokens.issue(email, scopes)
        body = {"access_token": token, "expires_in": LIFETIME_SECONDS, "token_type": "Bearer"}
        return json_reply(200, body)

    def _generated(self, request: Request) -> Reply:
        # https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
        match = _GENERATE.fullmatch(request.path)
        email = match[1] if match else ""
        try:
            authorization = request.headers.get("authorization")
            caller = self._tokens.caller(authorization, scopes=IAM_SCOPES)
            resource = f"projects/-/serviceAccounts/{email}"
            self._policy.require(caller, _IMPERSONATE, resource)
            if not self._tokens.knows(email):
                raise GcpError("not found", kind="Account", resource=email)
        except GcpError as exc:
            error = {"code": exc.http_status, "message": str(exc), "status": exc.row.code}
            return json_reply(exc.http_status, {"error": error})
        asked = json.loads(request.body)
        seconds = int(str(asked.get("lifetime", "3600s")).rstrip("s"))
        token = self._tokens.issue(email, frozenset(asked["scope"]), seconds=seconds)
        expires = datetime.fromtimestamp(self._clock.now(), UTC)
        expires += timedelta(seconds=seconds)
        text = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
        return json_reply(200, {"accessToken": token, "expireTime": text})

    def _metadata(self, request: Request, account: str) -> Reply:
        # https://cloud.google.com/compute/docs/metadata/querying-metadata
        if request.headers.get("metadata-flavor") != "Google":
            return Reply(403, b"Missing Metadata-Flavor:Google header.")
        path = request.path.removeprefix(_METADATA).rstrip("/")
        if request.path == "/":
            return Reply(200, b"computeMetadata/\n", _FLAVOR)
        if path == "project/project-id":
            return Reply(200, b"demo", {**_FLAVOR, "Content-Type": "application/text"})
        if path == "instance/service-accounts/default":
            body = {"aliases": ["default"], "email": account, "scopes": [_DEFAULT_SCOPE]}
            return json_reply(200, body, headers=_FLAVOR)
        if path in (f"instance/service-accounts/{each}/token" for each in ("default", account)):
            reply = self._granted(account, frozenset([_DEFAULT_SCOPE]))
            return Reply(reply.status, reply.body, {**reply.headers, **_FLAVOR})
        return Reply(404, b"", _FLAVOR)


_DEFAULT_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def _oauth_error(code: str, description: str) -> Reply:
    # https://www.rfc-editor.org/rfc/rfc6749#section-5.2
    return json_reply(400, {"error": code, "error_description": description})
