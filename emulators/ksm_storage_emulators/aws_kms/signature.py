"""Verify the AWS Signature Version 4 of a request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
The error texts: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.identities import AccessKey, Identities
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.message import Request

_ALGORITHM = "AWS4-HMAC-SHA256"
_STAMP = "%Y%m%dT%H%M%SZ"
_TOLERANCE = timedelta(minutes=5)
_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request, and for which region."""

    key: AccessKey
    region: str


@dataclass(frozen=True, slots=True)
class _Authorization:
    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: list[str]
    signature: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


class SignatureVerifier:
    """Find out who sent a request, or refuse it."""

    def __init__(self, identities: Identities, clock: MovableClock) -> None:
        """Know the access keys and the time."""
        self._identities = identities
        self._clock = clock

    def verify(self, request: Request, *, service: str) -> Caller:
        """Return the caller of a request signed for `service`.

        Raises:
            AwsError: No or an incomplete signature, an unknown or expired credential, a wrong
                date, scope or signature.
        """
        authorization = _parse(request)
        key = self._identities.access_key(authorization.access_key_id)
        if key is None or request.headers.get("x-amz-security-token") != key.session_token:
            raise AwsError("UnrecognizedClientException", _INVALID_TOKEN)
        if key.expires_at is not None and self._clock.now() >= key.expires_at:
            raise AwsError(
                "ExpiredTokenException", "The security token included in the request is expired"
            )
        self._check_date(request, authorization)
        _check_scope(authorization, service)
        _check_signed_headers(request, authorization)
        # A constant-time comparison, although these secrets protect nothing.
        if not hmac.compare_digest(
            _expected(request, authorization, key.secret_access_key), authorization.signature
        ):
            raise AwsError("InvalidSignatureException", _MISMATCH)
        return Caller(key, authorization.region)

    def _check_date(self, request: Request, authorization: _Authorization) -> None:
        stamp = request.headers["x-amz-date"]
        try:
            signed = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            text = f"Date must be in ISO-8601 'basic format'. Got '{stamp}'."
            raise AwsError("IncompleteSignatureException", text) from None
        now = datetime.fromtimestamp(self._clock.signing_now(), tz=UTC)
        if signed < now - _TOLERANCE:
            edge = f"{(now - _TOLERANCE):{_STAMP}} ({now:{_STAMP}} - 5 min.)"
            text = f"Signature expired: {stamp} is now earlier than {edge}"
            raise AwsError("InvalidSignatureException", text)
        if signed > now + _TOLERANCE:
            edge = f"{(now + _TOLERANCE):{_STAMP}} ({now:{_STAMP}} + 5 min.)"
            text = f"Signature not yet current: {stamp} is still later than {edge}"
            raise AwsError("InvalidSignatureException", text)
        if not stamp.startswith(authorization.date):
            text = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date"
            raise AwsError("InvalidSignatureException", f"{text} from HTTP")


def _parse(request: Request) -> _Authorization:
    value = request.headers.get("authorization")
    if value is None:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token")
    algorithm, _, rest = value.partition(" ")
    if algorithm != _ALGORITHM:
        raise AwsError("IncompleteSignatureException", "Unsupported signature algorithm")
    fields = dict(re.findall(r"(Credential|SignedHeaders|Signature)=([^,\s]+)", rest))
    for name in ("Credential", "Signature", "SignedHeaders"):
        if name not in fields:
            text = f"Authorization header requires '{name}' parameter."
            raise AwsError("IncompleteSignatureException", text)
    scope = fields["Credential"].split("/")
    if len(scope) != 5 or scope[4] != "aws4_request":
        text = "Credential must have exactly 5 slash-delimited elements"
        raise AwsError("IncompleteSignatureException", text)
    if "x-amz-date" not in request.headers:
        text = (
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
        raise AwsError("IncompleteSignatureException", text)
    headers = fields["SignedHeaders"].split(";")
    return _Authorization(scope[0], scope[1], scope[2], scope[3], headers, fields["Signature"])


def _check_scope(authorization: _Authorization, service: str) -> None:
    if authorization.service != service:
        text = f"Credential should be scoped to correct service: '{service}'."
        raise AwsError("InvalidSignatureException", text)


def _check_signed_headers(request: Request, authorization: _Authorization) -> None:
    demanded = {"host", *(name for name in request.headers if name.startswith("x-amz-"))}
    missing = sorted(demanded - set(authorization.signed_headers))
    absent = [name for name in authorization.signed_headers if name not in request.headers]
    if missing or absent:
        text = f"'{(missing or absent)[0]}' must be a 'SignedHeader' in the AWS Authorization."
        raise AwsError("InvalidSignatureException", text)


def _expected(request: Request, authorization: _Authorization, secret: str) -> str:
    headers = [
        f"{n}:{' '.join(request.headers[n].split())}\n" for n in authorization.signed_headers
    ]
    canonical = "\n".join(
        [
            request.method,
            quote(request.path, safe="/~%"),
            _canonical_query(request),
            "".join(headers),
            ";".join(authorization.signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    stamp = request.headers["x-amz-date"]
    to_sign = f"{_ALGORITHM}\n{stamp}\n{authorization.scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in authorization.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def _canonical_query(request: Request) -> str:
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in request.query)
    return "&".join(f"{name}={value}" for name, value in pairs)
