"""The REST form of the operations that clients without gRPC use.

https://cloud.google.com/kms/docs/reference/rest; the JSON of requests, replies and errors is that
of https://protobuf.dev/programming-guides/json and https://google.aip.dev/193.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.cloud import kms_v1
from google.protobuf import json_format

from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.operation import Respond
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.service import Address, Call

# Custom method of the path -> operation, request, reply.
_METHODS: Mapping[str, tuple[str, Any, Any]] = {
    "decrypt": ("Decrypt", kms_v1.DecryptRequest, kms_v1.DecryptResponse),
    "asymmetricDecrypt": (
        "AsymmetricDecrypt",
        kms_v1.AsymmetricDecryptRequest,
        kms_v1.AsymmetricDecryptResponse,
    ),
    "rawEncrypt": ("RawEncrypt", kms_v1.RawEncryptRequest, kms_v1.RawEncryptResponse),
    "rawDecrypt": ("RawDecrypt", kms_v1.RawDecryptRequest, kms_v1.RawDecryptResponse),
}
_PATH = re.compile(r"/v1/(projects/[^:?]+):([A-Za-z]+)")
_FAILURES = {503: "unavailable", 504: "late"}


class RestService:
    """Hand the operations on as bytes, and put replies and errors into Google's JSON."""

    name = "gcp-kms"
    hostnames: Sequence[str] = ()

    def __init__(self, respond: Respond, clock: MovableClock) -> None:
        """Answer from this."""
        self._respond = respond
        self.clock = clock

    def operation(self, request: Request) -> str:
        """Name the operation of a request."""
        found = _parts(request)
        return "unknown" if found is None else _METHODS[found[1]][0]

    def respond(self, call: Call) -> Reply:
        """Answer a request, errors included."""
        found = _parts(call.request)
        if found is None or call.request.method != "POST":
            return Reply(404, b"<!DOCTYPE html><title>Error 404</title>")
        operation, kind, reply_kind = _METHODS[found[1]]
        try:
            raw = self._respond(
                operation, _read(kind, found[0], call.request), call.request.headers
            )
        except GcpError as exc:
            return error_reply(exc)
        return _json(200, reply_kind.pb(reply_kind.deserialize(raw)))

    def throttled(self, call: Call, *, retry_after_seconds: float | None) -> Reply:
        """RESOURCE_EXHAUSTED."""
        return error_reply(GcpError("quota", retry_seconds=retry_after_seconds))

    def failed(
        self,
        call: Call,
        *,
        status: int,
        retry_after_seconds: float | None,
    ) -> Reply:
        """Return the error with this status, or INTERNAL."""
        situation = _FAILURES.get(status, "internal")
        return error_reply(GcpError(situation, retry_seconds=retry_after_seconds))

    def environment(self, address: Address) -> Mapping[str, str]:
        """Return nothing: the service that this is a side of tells where it is."""
        return {}


def error_reply(exc: GcpError) -> Reply:
    """Return an error in Google's JSON, its details included."""
    status = json_format.MessageToDict(exc.status())
    error = {**status, "code": exc.http_status, "status": exc.row.code}
    return json_reply(exc.http_status, {"error": error})


def _parts(request: Request) -> tuple[str, str] | None:
    match = _PATH.fullmatch(request.path)
    return (match[1], match[2]) if match and match[2] in _METHODS else None


def _read(kind: Any, name: str, request: Request) -> bytes:
    message = kind.pb(kind())
    try:
        json_format.Parse(request.body, message)
    except (json_format.ParseError, UnicodeDecodeError):
        raise GcpError("argument", detail="Invalid JSON payload received.") from None
    message.name = name
    return bytes(message.SerializeToString())


def _json(status: int, message: Any) -> Reply:
    return json_reply(status, json_format.MessageToDict(message))
