"""Check the signature of a request.

https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm, version 1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.message import Request
from ksm_storage_emulators.oci_vault.errors import OciError
from ksm_storage_emulators.oci_vault.identities import Credential

# The same page, "Client Clock Skew".
MAX_SKEW_SECONDS = 300

_FIELD = re.compile(r'([A-Za-z]+)="([^"]*)"')
_TARGET = "(request-target)"
_WITH_BODY = ("POST", "PUT", "PATCH")
_OF_BODY = ("content-length", "content-type", "x-content-sha256")
_FAILED = "The required information to complete authentication was not provided or was incorrect."


class SignatureVerifier:
    """Find out who signed a request, or refuse it."""

    def __init__(
        self, find: Callable[[str], Credential | None], clock: MovableClock, *, signs_host: bool
    ) -> None:
        """Look credentials up by `find`; only the service that issues tokens needs no host."""
        self._find = find
        self._clock = clock
        self._needed = {_TARGET, "host"} if signs_host else {_TARGET}

    def verify(self, request: Request) -> Credential:
        """Return the credential that signed the request.

        Raises:
            OciError: NotAuthenticated, whatever is wrong.
        """
        fields = _fields(request)
        # Clients write them as they like; what is signed has them in lower case.
        names = fields["headers"].lower().split(" ")
        self._require_signed(request, names)
        self._require_recent(request, names)
        _require_body(request)
        credential = self._find(fields["keyId"])
        if credential is None:
            raise _refused()
        try:
            signature = base64.b64decode(fields["signature"], validate=True)
            credential.public_key.verify(
                signature, _signing_string(request, names), padding.PKCS1v15(), hashes.SHA256()
            )
        except (binascii.Error, InvalidSignature):
            raise _refused() from None
        return credential

    def _require_signed(self, request: Request, names: list[str]) -> None:
        needed = set(self._needed)
        if request.method in _WITH_BODY:
            needed |= set(_OF_BODY)
        has_date = "date" in names or "x-date" in names
        if len(set(names)) != len(names) or not needed <= set(names) or not has_date:
            raise _refused()

    def _require_recent(self, request: Request, names: list[str]) -> None:
        # A browser cannot set Date, so x-date may be signed in its place.
        text = request.headers.get("x-date" if "x-date" in names else "date", "")
        try:
            then = parsedate_to_datetime(text).timestamp()
        except ValueError:
            raise _refused() from None
        if abs(self._clock.signing_now() - then) > MAX_SKEW_SECONDS:
            raise OciError("NotAuthenticated", "The date of the request is not within the skew.")


def _fields(request: Request) -> Mapping[str, str]:
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    fields = dict(_FIELD.findall(rest))
    well_formed = (
        scheme == "Signature"
        and fields.get("version") == "1"
        and fields.get("algorithm") == "rsa-sha256"
        and {"keyId", "headers", "signature"} <= fields.keys()
    )
    if not well_formed:
        raise _refused()
    return fields


def _require_body(request: Request) -> None:
    if request.method not in _WITH_BODY:
        return
    digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    if request.headers.get("x-content-sha256") != digest:
        raise _refused()


def _signing_string(request: Request, names: list[str]) -> bytes:
    lines = []
    for name in names:
        if name == _TARGET:
            lines.append(f"{name}: {request.method.lower()} {request.target}")
            continue
        if name not in request.headers:
            raise _refused()
        lines.append(f"{name}: {request.headers[name]}")
    return "\n".join(lines).encode()


def _refused() -> OciError:
    # The service does not say what is wrong either.
    return OciError("NotAuthenticated", _FAILED)
