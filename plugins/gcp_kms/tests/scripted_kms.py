"""A gRPC server that answers what a test tells it to, in whatever form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import google_crc32c
import grpc
from google.cloud import kms_v1
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

SERVICE = "google.cloud.kms.v1.KeyManagementService"
KEY = "projects/demo/locations/europe-west3/keyRings/apps/cryptoKeys/ksm"
VERSION = f"{KEY}/cryptoKeyVersions/1"
SECRET_TEXT = "text of the service"

Answer = Callable[[bytes, grpc.ServicerContext], bytes]
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
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

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

    def _handler(self, name: str) -> Any:
        def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
            self.asked.append((name, body, dict(context.invocation_metadata())))
            answer = self.answers.pop(0) if self.answers else self.answer
            return answer(body, context)

        return grpc.unary_unary_rpc_method_handler(handle)


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
