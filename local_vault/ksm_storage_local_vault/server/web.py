"""The vault's endpoints: signed requests, uploads and downloads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ksm_storage.errors import StorageError
from ksm_storage.serving.addresses import DOWNLOAD_EXPIRED, UPLOADED, Clock, FileAddresses
from ksm_storage.serving.database import Database
from ksm_storage.serving.requests import RequestRejected, malformed, rejected
from ksm_storage.serving.web import (
    Endpoint,
    Workers,
    peer_address,
    read_upload,
    reporting,
    signed_endpoint,
)
from ksm_storage.wire.endpoints import API_PATH, CONTENT_TYPE

from ..server_settings import read_error_style
from .exchange import Exchange
from .files import fetch_content, store_content


def make_application(
    exchange: Exchange, database: Database, addresses: FileAddresses, clock: Clock
) -> Starlette:
    """Return the ASGI application."""
    workers = Workers()

    async def upload(request: Request) -> Response:
        fields, content = await read_upload(request)
        ticket = fields.get("ticket")
        if ticket is None:
            raise malformed("the form has no part named ticket")

        def store() -> bytes:
            with database.write() as connection:
                store_content(connection, ticket=ticket, content=content, now=clock())
            return b""

        return Response(await workers.run(_reporting_sqlite(store)), UPLOADED)

    async def download(request: Request) -> Response:
        query = request.query_params
        file_uid, client_id = request.path_params["file_uid"], query.get("client", "")
        if not addresses.allows_download(
            file_uid, client_id, expires=query.get("expires", ""), seal=query.get("seal", "")
        ):
            raise rejected(DOWNLOAD_EXPIRED)

        def fetch() -> bytes:
            with database.read() as connection:
                return fetch_content(
                    connection,
                    file_uid=file_uid,
                    client_id=client_id,
                    address=peer_address(request),
                    now=clock(),
                )

        return Response(await workers.run(_reporting_sqlite(fetch)), media_type=CONTENT_TYPE)

    def answer(path: str, headers: Mapping[str, str], body: bytes, address: str) -> bytes:
        return _reporting_sqlite(lambda: exchange.answer(path, headers, body, address=address))()

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        reported = reporting(
            endpoint,
            location="local vault",
            answer=lambda exc: _error_body(database, exc),
            headers=_error_headers,
        )
        return Route(path, reported, methods=[method])

    return Starlette(
        routes=[
            route(API_PATH + "{path}", signed_endpoint(answer, workers), "POST"),
            route("/files", upload, "POST"),
            route("/files/{file_uid}", download, "GET"),
        ]
    )


def _reporting_sqlite(work: Callable[[], bytes]) -> Callable[[], bytes]:
    def reported() -> bytes:
        try:
            return work()
        except sqlite3.Error as exc:
            raise StorageError(f"the vault's database failed: {exc}") from exc

    return reported


def _error_body(database: Database, exc: RequestRejected) -> Mapping[str, object]:
    """Return the error in the wording that the owner chose."""
    with database.read() as connection:
        style = read_error_style(connection)
    body: dict[str, object] = dict(exc.body)
    if style.wording and exc.error is not None and exc.error.wordings:
        # A cause with fewer wordings than that keeps its last one.
        body["message"] = exc.error.wordings[: style.wording][-1]
    if style.numeric_key_id and "key_id" in body:
        body["key_id"] = int(str(body["key_id"]))
    return body


def _error_headers(exc: RequestRejected) -> Mapping[str, str]:
    seconds = exc.body.get("retry_after")
    # Keeper's 403 says it in the body only.
    if exc.status != 429 or seconds is None:
        return {}
    return {"Retry-After": f"{seconds:g}"}
