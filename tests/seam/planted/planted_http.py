"""A plugin over plain HTTP with one fault at a time, and the service that it asks."""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from ksm_storage.plugin import (
    Aad,
    Call,
    Connection,
    DecryptionError,
    HttpApi,
    KeyWrapper,
    Option,
    ServiceClient,
    Settings,
    SettingsError,
    UnavailableError,
    WrappedDek,
    error_for,
    hookimpl,
    standard_options,
    translating,
)
from ksm_storage.testing.memory_kek import ALGORITHM, MemoryKeyService, MemoryServiceError

Reply = Mapping[str, Any]


class PlantedHttp:
    """Do everything right; each subclass below does one thing wrong."""

    binds_aad = True

    def __init__(self, key_id: str, connection: Connection) -> None:
        self._key_id = key_id
        self._connection = connection
        self._url = connection.endpoint or ""
        self._held: ServiceClient[HttpApi] = ServiceClient(
            lambda: HttpApi(self._url, connection),
            deadline=connection.deadline,
        )

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        with translating(self._translated):
            reply = self._asked({"dek": _text(dek), "aad": _text(bytes(aad))})
            return WrappedDek(reply["key"], ALGORITHM, base64.b64decode(reply["ciphertext"]))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        if (wrapped.algorithm, wrapped.key_id) != (ALGORITHM, self._key_id):
            raise DecryptionError("wrapped by another key")
        with translating(self._translated):
            body = {"ciphertext": _text(wrapped.ciphertext), "aad": _text(bytes(aad))}
            return base64.b64decode(self._asked(body)["plaintext"])

    def close(self) -> None:
        self._held.close()

    def _asked(self, body: Mapping[str, str]) -> Reply:
        raw = json.dumps({**body, "key": self._key_id}).encode()
        status, reply = self._held.run(lambda api: self._sent(api, raw))
        if status != 200:
            raise DecryptionError("the data key does not decrypt")
        found: Reply = json.loads(reply)
        return found

    def _sent(self, api: HttpApi, body: bytes) -> tuple[int, bytes]:
        reply = api.send("POST", "/", body=body, headers={})
        return reply.status, reply.body

    def _translated(self, exc: Exception) -> Any:
        call = Call("call", self._key_id, "the planted service")
        return error_for(exc, call)


class HasNoTimeOut(PlantedHttp):
    def _asked(self, body: Mapping[str, str]) -> Reply:
        raw = json.dumps({**body, "key": self._key_id}).encode()
        link = http.client.HTTPConnection(urlsplit(self._url).netloc)
        link.request("POST", "/", raw)
        found: Reply = json.loads(link.getresponse().read())
        return found


class BoundsEachReadButNotTheCall(PlantedHttp):
    def _asked(self, body: Mapping[str, str]) -> Reply:
        raw = json.dumps({**body, "key": self._key_id}).encode()
        link = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=1)
        link.request("POST", "/", raw)
        found: Reply = json.loads(link.getresponse().read())
        return found


class SendsPlainHttpThroughAProxy(PlantedHttp):
    def _sent(self, api: HttpApi, body: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(self._url, body, method="POST")
        # A new opener: the shared one remembers the proxies of its first use.
        with urllib.request.build_opener().open(request, timeout=5) as reply:
            return reply.status, reply.read()


class FollowsRedirects(PlantedHttp):
    def _sent(self, api: HttpApi, body: bytes) -> tuple[int, bytes]:
        link = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=1)
        link.request("POST", "/", body)
        reply = link.getresponse()
        elsewhere = reply.headers.get("Location")
        if elsewhere is not None:
            return FollowsRedirects(
                self._key_id, self._connection._replace(endpoint=elsewhere)
            )._sent(api, body)
        return reply.status, reply.read()


class LeavesTheDekOnTheCause(PlantedHttp):
    def _asked(self, body: Mapping[str, str]) -> Reply:
        found = super()._asked(body)
        if not found.keys() & {"ciphertext", "plaintext"}:
            raise ValueError(f"not a reply: {found}")
        return found

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        try:
            body = {"dek": _text(dek), "aad": _text(bytes(aad))}
            reply = self._asked(body)
        except ValueError as exc:
            raise UnavailableError("not a valid reply") from exc
        return WrappedDek(reply["key"], ALGORITHM, base64.b64decode(reply["ciphertext"]))


class LeavesTheDekOnTheContext(LeavesTheDekOnTheCause):
    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        try:
            return super().wrap(dek, aad=aad)
        except UnavailableError as exc:
            cause, exc.__cause__, exc.__context__ = exc.__cause__, None, None
            error = exc
        try:
            raise cause or error
        except ValueError:
            raise error from None


class UsesItsConnectionAcrossAFork(PlantedHttp):
    def __init__(self, key_id: str, connection: Connection) -> None:
        super().__init__(key_id, connection)
        self._link = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=1)

    def _sent(self, api: HttpApi, body: bytes) -> tuple[int, bytes]:
        self._link.request("POST", "/", body)
        reply = self._link.getresponse()
        return reply.status, reply.read()


class ReadsStandardInput(PlantedHttp):
    def _sent(self, api: HttpApi, body: bytes) -> tuple[int, bytes]:
        sys.stdin.readline()
        return super()._sent(api, body)


class ChecksNoSettings(PlantedHttp):
    """Its settings are taken as they are; ``open_key_wrapper`` sees to that."""


class RefusesThisMachine(PlantedHttp):
    def __init__(self, key_id: str, connection: Connection) -> None:
        if (connection.endpoint or "").endswith(":1"):
            raise SettingsError("plain HTTP is refused")
        super().__init__(key_id, connection)


PLANTED: dict[str, type[PlantedHttp]] = {
    kind.__name__: kind
    for kind in (*PlantedHttp.__subclasses__(), *LeavesTheDekOnTheCause.__subclasses__())
}


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    return [
        *standard_options("the planted service"),
        Option("fault", "Which fault the key wrapper has.", choices=("", *PLANTED)),
    ]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    kind = PLANTED.get(settings.text("fault") or "", PlantedHttp)
    if kind is ChecksNoSettings:
        return kind(key_id, Connection(settings.text("endpoint"), None, 1.0, 1.0, 1.0))
    return kind(key_id, Connection.from_settings(settings))


@contextmanager
def serving(*keys: str) -> Iterator[str]:
    """Run the service on loopback; yield its address."""
    service = MemoryKeyService(*keys)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            aad = base64.b64decode(asked["aad"])
            try:
                status, body = 200, self._answer(asked, aad)
            except MemoryServiceError:
                status, body = 400, {}
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def _answer(self, asked: Reply, aad: bytes) -> dict[str, str]:
            key = asked["key"]
            if "dek" in asked:
                resolved, sealed = service.encrypt(key, base64.b64decode(asked["dek"]), aad)
                return {"key": resolved, "ciphertext": _text(sealed)}
            sealed = base64.b64decode(asked["ciphertext"])
            return {"plaintext": _text(service.decrypt(sealed, aad, key_id=key))}

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its own name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
