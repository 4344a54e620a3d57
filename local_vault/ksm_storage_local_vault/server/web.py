"""The HTTP side: paths, sizes, addresses and the form of errors."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ksm_storage.errors import KsmStorageError
from ksm_storage.wire.api_errors import OBJECT_UNKNOWN
from ksm_storage.wire.endpoints import API_PATH, CONTENT_TYPE, PATHS

from ..database import Clock, Database
from .exchange import Exchange
from .files import (
    DOWNLOAD_EXPIRED,
    MOST_FILE_BYTES,
    UPLOADED,
    FileAddresses,
    fetch_content,
    store_content,
)
from .requests import BODY_TOO_LARGE, RequestRejected, malformed, rejected

MOST_REQUEST_BYTES = 16 * 1024 * 1024
FORM_OVERHEAD_BYTES = 64 * 1024

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def make_application(
    exchange: Exchange, database: Database, addresses: FileAddresses, clock: Clock
) -> Starlette:
    """Return the ASGI application."""
    files = FileTransfer(database, addresses, clock)

    async def signed(request: Request) -> Response:
        path = request.path_params["path"]
        if path not in PATHS:
            raise rejected(OBJECT_UNKNOWN, reason="the path is unknown")
        body = await _bounded_body(request, MOST_REQUEST_BYTES)
        answer = await run_in_threadpool(
            exchange.answer, path, request.headers, body, address=peer_address(request)
        )
        return Response(answer, media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route(API_PATH + "{path}", _telling(signed), methods=["POST"]),
            Route("/files", _telling(files.upload), methods=["POST"]),
            Route("/files/{file_uid}", _telling(files.download), methods=["GET"]),
        ]
    )


class FileTransfer:
    """Take and give the encrypted content of files; neither request is signed."""

    def __init__(self, database: Database, addresses: FileAddresses, clock: Clock) -> None:
        self._database = database
        self._addresses = addresses
        self._clock = clock

    async def upload(self, request: Request) -> Response:
        """Store what was posted with a ticket of add_file."""
        _refuse_announced(request, MOST_FILE_BYTES + FORM_OVERHEAD_BYTES)
        async with request.form(max_files=1, max_fields=8) as form:
            ticket, file = form.get("ticket"), form.get("file")
            if not isinstance(ticket, str) or file is None or isinstance(file, str):
                raise malformed("the form needs a ticket and a file")
            content = await file.read()
        await run_in_threadpool(self._store, ticket, content)
        return Response(status_code=UPLOADED)

    async def download(self, request: Request) -> Response:
        """Give the encrypted content to whom the address was given."""
        content = await run_in_threadpool(
            self._fetch,
            request.path_params["file_uid"],
            dict(request.query_params),
            peer_address(request),
        )
        return Response(content, media_type=CONTENT_TYPE)

    def _store(self, ticket: str, content: bytes) -> None:
        with self._database.write() as connection:
            store_content(connection, ticket=ticket, content=content, now=self._clock())

    def _fetch(self, file_uid: str, query: dict[str, str], address: str) -> bytes:
        client_id = query.get("client", "")
        if not self._addresses.allows_download(
            file_uid, client_id, expires=query.get("expires", ""), seal=query.get("seal", "")
        ):
            raise rejected(DOWNLOAD_EXPIRED)
        with self._database.read() as connection:
            return fetch_content(
                connection,
                file_uid=file_uid,
                client_id=client_id,
                address=address,
                now=self._clock(),
            )


def peer_address(request: Request) -> str:
    """Return the address of the other end of the connection, and of nothing that it claims."""
    # Forwarding headers are not looked at: whoever sends one could choose the address.
    host = request.client.host if request.client else ""
    return host.removeprefix("::ffff:")


def _telling(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except RequestRejected as exc:
            response = JSONResponse(_error_body(request, exc), status_code=exc.status)
        except (KsmStorageError, sqlite3.Error) as exc:
            # The reason stays here: it names files of the server.
            log.error("%s failed: %s", _sent_path(request), exc)
            response = JSONResponse({"error": "server_error"}, status_code=500)
        log.info("%s %s %d", request.method, _sent_path(request), response.status_code)
        return response

    return answer


def _sent_path(request: Request) -> str:
    # The path only: a query holds the seal of a download. As it was sent: what "%0A" stands for
    # would begin a line of the log.
    return bytes(request.scope["raw_path"]).decode("ascii", errors="backslashreplace")


def _error_body(request: Request, exc: RequestRejected) -> dict[str, object]:
    body: dict[str, object] = {
        "path": f"{request.url.replace(query='')}, {request.method}",
        "additional_info": exc.reason or "",
        "location": "local vault",
        **exc.body,
    }
    return body


def _refuse_announced(request: Request, most_bytes: int) -> None:
    announced = request.headers.get("content-length", "")
    # Chunks count where both are given, and may go on for ever.
    if "transfer-encoding" in request.headers:
        announced = ""
    if not announced.isdecimal() or len(announced) > 12:
        raise malformed("the request does not announce its length")
    if int(announced) > most_bytes:
        raise rejected(BODY_TOO_LARGE)


async def _bounded_body(request: Request, most_bytes: int) -> bytes:
    # The server never passes on more than was announced, so one check at the start is enough.
    _refuse_announced(request, most_bytes)
    return await request.body()
