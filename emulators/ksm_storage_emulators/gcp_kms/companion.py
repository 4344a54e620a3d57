"""The gRPC side: listen, apply faults and quotas, hand calls over, write down what happened.

REST is served on the same port.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from ksm_storage_emulators.admission import Outcome, admit
from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.gcp_kms.errors import GcpError
from ksm_storage_emulators.gcp_kms.operation import Respond
from ksm_storage_emulators.gcp_kms.operations import OPERATIONS, service_of
from ksm_storage_emulators.gcp_kms.rest import RestService
from ksm_storage_emulators.gcp_kms.shared_port import SharedPort
from ksm_storage_emulators.listener import HOST
from ksm_storage_emulators.message import Headers
from ksm_storage_emulators.service import Bench
from ksm_storage_emulators.transcript import Exchange

_FAILURES = {503: "unavailable", 504: "late"}


class Companion:
    """The running servers of gRPC and REST on 127.0.0.1, with TLS where an authority is given."""

    def __init__(
        self, bench: Bench, respond: Respond, *, port: int, authority: PrivateAuthority | None
    ) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._bench = bench
        self._respond = respond
        # A reused port would let two emulators answer each other's clients.
        options = [("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(max_workers=32), options=options)
        for name in OPERATIONS:
            handlers = {name: self._handler(name)}
            generic = grpc.method_handlers_generic_handler(service_of(name), handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._port = SharedPort(
            RestService(respond, bench.clock),
            bench,
            port=port,
            grpc_port=self._bound(authority),
            tls=None if authority is None else authority.server_context([]),
        )
        self.address = f"{HOST}:{self._port.server_port}"
        self._server.start()

    def stop(self) -> None:
        """Stop, and wait until it has."""
        self._server.stop(grace=None).wait()
        self._port.stop()

    def _bound(self, authority: PrivateAuthority | None) -> int:
        if authority is None:
            return int(self._server.add_insecure_port(f"{HOST}:0"))
        credentials = grpc.ssl_server_credentials([authority.server_pem([])])
        return int(self._server.add_secure_port(f"{HOST}:0", credentials))

    def _handler(self, operation: str) -> Any:
        # Bytes in and out: the transcript keeps them, and a fault cuts them in half.
        def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
            return self._answer(operation, body, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _answer(self, operation: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = [(str(key), str(value)) for key, value in context.invocation_metadata()]
        headers = Headers(metadata)
        try:
            reply = self._admitted(operation, body, headers)
        except GcpError as exc:
            self._record(operation, headers, body, status=exc.http_status)
            context.abort_with_status(rpc_status.to_status(exc.status()))
        if reply is None:
            self._record(operation, headers, body, status=None)
            _abandon(context)
        self._record(operation, headers, body, status=200, reply=reply)
        return reply

    def _admitted(self, operation: str, body: bytes, headers: Headers) -> bytes | None:
        admission = admit(self._bench, operation)
        if admission.outcome is Outcome.ABANDON:
            return None
        if admission.outcome is Outcome.THROTTLE:
            raise GcpError("quota", retry_seconds=admission.retry_after_seconds)
        if admission.outcome is Outcome.FAIL:
            situation = _FAILURES.get(admission.status, "internal")
            raise GcpError(situation, retry_seconds=admission.retry_after_seconds)
        reply = self._respond(operation, body, headers)
        if self._bench.faults.take(FaultKind.TRUNCATE, operation) is not None:
            return reply[: len(reply) // 2]
        return reply

    def _record(
        self,
        operation: str,
        headers: Headers,
        body: bytes,
        *,
        status: int | None,
        reply: bytes = b"",
    ) -> None:
        target = f"/{service_of(operation)}/{operation}"
        exchange = Exchange(operation, "gRPC", target, headers, body, status, reply)
        self._bench.transcript.record(exchange)


def _abandon(context: grpc.ServicerContext) -> NoReturn:
    # The server does not hand its sockets out; this is what a client makes of a reset connection.
    context.abort(grpc.StatusCode.UNAVAILABLE, "recvmsg:Connection reset by peer")
    raise AssertionError("abort raises")
