"""The Security Token Service: GetCallerIdentity and AssumeRole, in the query protocol.

https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.identities import ACCOUNT, AccessKey, Identities, Principal
from ksm_storage_emulators.aws_kms.signature import SignatureVerifier
from ksm_storage_emulators.message import Reply, Request

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")

# The same refusals have other codes and statuses in the query protocol.
_CODES = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "ThrottlingException": ("Throttling", 400),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "ValidationException": ("ValidationError", 400),
}


def is_sts(request: Request) -> bool:
    """Say whether a request speaks the query protocol."""
    kind = request.headers.get("content-type", "")
    return kind.startswith("application/x-www-form-urlencoded")


def sts_action(request: Request) -> str:
    """Return the action of a request, "unknown" when it names none."""
    return dict(parse_qsl(request.body.decode("latin-1"))).get("Action", "unknown")


def sts_error(code: str, message: str | None, *, status: int, request_id: str) -> Reply:
    """Return an error in the query protocol, for a code of the KMS table."""
    code, status = _CODES.get(code, (code, status))
    fault = "Sender" if status < 500 else "Receiver"
    error = f"<Error><Type>{fault}</Type><Code>{code}</Code>"
    error += f"<Message>{escape(message or '')}</Message></Error>"
    text = f"{error}<RequestId>{request_id}</RequestId>"
    return _xml(status, f'<ErrorResponse xmlns="{_NAMESPACE}">{text}</ErrorResponse>', request_id)


class SecurityTokenService:
    """Answer the two actions."""

    def __init__(self, identities: Identities, verifier: SignatureVerifier) -> None:
        """Know the account."""
        self._identities = identities
        self._verifier = verifier

    def respond(self, request: Request, request_id: str) -> Reply:
        """Answer a request.

        Raises:
            AwsError: To be put into the words of the query protocol by `sts_error`.
        """
        caller = self._verifier.verify(request, service="sts").key
        action = sts_action(request)
        form = dict(parse_qsl(request.body.decode("latin-1")))
        if action == "GetCallerIdentity":
            result = _identity(caller)
        elif action == "AssumeRole":
            result = self._assume_role(caller, form)
        else:
            text = f"Could not find operation {action} for version 2011-06-15"
            raise AwsError("UnknownOperationException", text)
        body = f"<{action}Result>{result}</{action}Result>"
        body += f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        document = f'<{action}Response xmlns="{_NAMESPACE}">{body}</{action}Response>'
        return _xml(200, document, request_id)

    def _assume_role(self, caller: AccessKey, form: Mapping[str, str]) -> str:
        arn, session = form.get("RoleArn", ""), form.get("RoleSessionName", "")
        seconds = form.get("DurationSeconds", "3600")
        if _SESSION_NAME.fullmatch(session) is None:
            text = "1 validation error detected: Value at 'roleSessionName' is not valid"
            raise AwsError("ValidationException", text)
        if not seconds.isdigit() or not 900 <= int(seconds) <= 43_200:
            text = "1 validation error detected: Value at 'durationSeconds' is not valid"
            raise AwsError("ValidationException", text)
        role = self._trusting_role(caller, arn)
        key = self._identities.issue_session(role, session, seconds=int(seconds))
        return _session(key)

    def _trusting_role(self, caller: AccessKey, arn: str) -> Principal:
        role = self._identities.principal(arn)
        if role is None or caller.principal.arn not in role.trusted:
            # A role that does not exist is refused in the same words.
            intro = f"User: {caller.caller_arn} is not authorized to perform: sts:AssumeRole"
            raise AwsError("AccessDeniedException", f"{intro} on resource: {arn}")
        return role


def _identity(caller: AccessKey) -> str:
    user = f"<Arn>{caller.caller_arn}</Arn><UserId>{caller.user_id}</UserId>"
    return f"{user}<Account>{ACCOUNT}</Account>"


def _session(key: AccessKey) -> str:
    expiry = datetime.fromtimestamp(key.expires_at or 0, tz=UTC)
    credentials = (
        f"<AccessKeyId>{key.access_key_id}</AccessKeyId>"
        f"<SecretAccessKey>{key.secret_access_key}</SecretAccessKey>"
        f"<SessionToken>{key.session_token}</SessionToken>"
        f"<Expiration>{expiry:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
    )
    user = f"<Arn>{key.caller_arn}</Arn><AssumedRoleId>{key.user_id}</AssumedRoleId>"
    return f"<Credentials>{credentials}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>"


def _xml(status: int, document: str, request_id: str) -> Reply:
    headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}
    return Reply(status, document.encode(), headers)
