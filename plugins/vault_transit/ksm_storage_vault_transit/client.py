"""The client of a key wrapper: a token for each request, and each failure translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ksm_storage.plugin import Call, ServiceClient, translating

from .hooks import Access
from .tokens import Tokens
from .transport import ReplyError, Transport


class VaultClient:
    """Call the API of Vault or OpenBao; made at first use, and safe across threads and forks."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._service: ServiceClient[_Session] = ServiceClient(
            lambda: _Session(access), close=lambda _: None, deadline=access.connection.deadline
        )

    @property
    def place(self) -> str:
        """The server as messages name it."""
        within = f" in the namespace {self.access.namespace!r}" if self.access.namespace else ""
        return f"the server at {str(self.access.address)!r}{within}"

    def post(
        self, path: str, body: Mapping[str, object], *, operation: str, key: str
    ) -> Mapping[str, Any]:
        """Send a request that takes the capability ``update``; return the reply.

        Raises:
            KsmStorageError: The server, the network, a login or a setting failed.
        """
        call = Call(operation, key, self.place, f"update on {path}")
        return self._run("POST", path, body, call)

    def get(self, path: str, *, operation: str, key: str) -> Mapping[str, Any]:
        """Send a request that takes the capability ``read``; return the reply.

        Raises:
            KsmStorageError: The server, the network, a login or a setting failed.
        """
        return self._run("GET", path, None, Call(operation, key, self.place, f"read on {path}"))

    def close(self) -> None:
        """Forget the token of a login; the server ends it when its time is over."""
        self._service.close()

    def _run(
        self, method: str, path: str, body: Mapping[str, object] | None, call: Call
    ) -> Mapping[str, Any]:
        from .errors import IGNORED_AAD, WRAPPED_REPLY, translated

        with translating(lambda exc: translated(exc, call)):
            reply = self._service.run(lambda session: session.call(method, path, body))
        if reply.get("wrap_info"):
            raise WRAPPED_REPLY.error(call)
        if "associated_data" in str(reply.get("warnings")):
            raise IGNORED_AAD.error(call)
        return reply


class _Session:
    """Send requests with the token that is current."""

    def __init__(self, access: Access) -> None:
        self._transport = Transport(access.address, access.connection)
        self._tokens = Tokens(access, self._post)
        self._headers = {"X-Vault-Request": "true", "Content-Type": "application/json"}
        if access.namespace is not None:
            self._headers["X-Vault-Namespace"] = access.namespace

    def call(self, method: str, path: str, body: Mapping[str, object] | None) -> Mapping[str, Any]:
        token = self._tokens.current()
        try:
            return self._send(method, path, token, body)
        except ReplyError as exc:
            refusal = exc
        from .errors import rejects_token

        if not rejects_token(refusal) or not self._tokens.replace(token):
            raise refusal
        # Once, and only because the token was refused: nothing was done with the key.
        return self._send(method, path, self._tokens.current(), body)

    def _post(self, path: str, token: str | None, body: Mapping[str, object]) -> Mapping[str, Any]:
        return self._send("POST", path, token, body)

    def _send(
        self, method: str, path: str, token: str | None, body: Mapping[str, object] | None
    ) -> Mapping[str, Any]:
        headers = self._headers if token is None else {**self._headers, "X-Vault-Token": token}
        return self._transport.exchange(method, path, headers, body)
