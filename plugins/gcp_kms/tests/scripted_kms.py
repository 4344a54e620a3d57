"""A server of gRPC and REST that answers what a test tells it to, in whatever form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import google_crc32c
import grpc
from google.cloud import kms_v1
from google.protobuf import any_pb2, json_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.gcp_kms.rest import RestService
from ksm_storage_emulators.gcp_kms.shared_port import SharedPort
from ksm_storage_emulators.message import Headers, Reply, json_reply
from ksm_storage_emulators.service import Bench, Call

SERVICE = "google.cloud.kms.v1.KeyManagementService"
KEY = "projects/demo/locations/europe-west3/keyRings/apps/cryptoKeys/ksm"
VERSION = f"{KEY}/cryptoKeyVersions/1"
SECRET_TEXT = "text of the service"

Answer = Callable[[bytes, Any], bytes]
# Source: google.rpc.Code, "HTTP Mapping".
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_METHODS = (
    "Encrypt",
    "Decrypt",
    "RawEncrypt",
    "RawDecrypt",
    "GetPublicKey",
    "AsymmetricDecrypt",
)


class ScriptedKms:
    """Answer with ``answers`` in order, then with ``answer``; ``asked`` lists the requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.answer: Answer = refused("UNIMPLEMENTED")
        self.asked: list[tuple[str, bytes, dict[str, str]]] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        handlers = {name: self._handler(name) for name in _METHODS}
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        bench = Bench(MovableClock())
        self._port = SharedPort(
            _Rest(self._asked_over_rest, bench.clock),
            bench,
            port=0,
            grpc_port=self._server.add_insecure_port("127.0.0.1:0"),
            tls=None,
        )
        self.url = f"http://127.0.0.1:{self._port.server_port}"

    def __enter__(self) -> ScriptedKms:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(grace=None).wait()
        self._port.stop()

    def _handler(self, name: str) -> Any:
        def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
            return self._answered(name, body, dict(context.invocation_metadata()), context)

        return grpc.unary_unary_rpc_method_handler(handle)

    def _asked_over_rest(self, name: str, body: bytes, headers: Headers) -> bytes:
        return self._answered(name, body, dict(headers), _RestContext())

    def _answered(self, name: str, body: bytes, headers: dict[str, str], context: Any) -> bytes:
        self.asked.append((name, body, headers))
        answer = self.answers.pop(0) if self.answers else self.answer
        return answer(body, context)


class _AbortedError(Exception):
    def __init__(self, code: str, status: status_pb2.Status) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class _RestContext:
    """Take what an answer says to gRPC."""

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        raise _AbortedError(code.name, status_pb2.Status(code=code.value[0], message=text))

    def abort_with_status(self, status: Any) -> None:
        details = dict(status.trailing_metadata)["grpc-status-details-bin"]
        raise _AbortedError(status.code.name, status_pb2.Status.FromString(details))


class _Rest(RestService):
    """Send what the answers say as Google's JSON."""

    def respond(self, call: Call) -> Reply:
        try:
            return super().respond(call)
        except _AbortedError as exc:
            http = _STATUSES.get(exc.code, 500)
            error = {**json_format.MessageToDict(exc.status), "code": http, "status": exc.code}
            return json_reply(http, {"error": error})
        except DecodeError:
            return Reply(200, b'{"plaintext": "AAEC')


def refused(
    code: str, *, text: str = SECRET_TEXT, details: Sequence[Any] = (), trailer: bool = True
) -> Answer:
    """Answer with an error and its details."""
    status = getattr(grpc.StatusCode, code)

    def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
        if not trailer:
            context.abort(status, text)
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        message = status_pb2.Status(code=status.value[0], message=text, details=packed)
        context.abort_with_status(rpc_status.to_status(message))
        return b""

    return answer


def info(reason: str, **metadata: str) -> Any:
    """Return the detail that names a reason."""
    return error_details_pb2.ErrorInfo(reason=reason, domain="googleapis.com", metadata=metadata)


def replied(reply: Any) -> Answer:
    """Answer with a message of the client library, or with bytes."""
    raw = reply if isinstance(reply, bytes) else type(reply).serialize(reply)
    return lambda body, context: raw


def encrypted(**changes: object) -> kms_v1.EncryptResponse:
    """Return a right reply to Encrypt, changed."""
    right = {
        "name": VERSION,
        "ciphertext": b"ciphertext",
        "ciphertext_crc32c": google_crc32c.value(b"ciphertext"),
        "verified_plaintext_crc32c": True,
        "verified_additional_authenticated_data_crc32c": True,
    }
    return kms_v1.EncryptResponse({**right, **changes})


def decrypted(plaintext: bytes, **changes: object) -> kms_v1.DecryptResponse:
    """Return a right reply to Decrypt, changed."""
    right = {"plaintext": plaintext, "plaintext_crc32c": google_crc32c.value(plaintext)}
    return kms_v1.DecryptResponse({**right, **changes})
