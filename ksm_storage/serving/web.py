"""The HTTP side: paths, sizes, the peer's address, uploads, and the form of errors."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, create_form_parser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ..errors import KsmStorageError
from ..wire.api_errors import BAD_REQUEST, OBJECT_UNKNOWN, ApiError
from ..wire.endpoints import CONTENT_TYPE, PATHS
from .requests import RequestRejected, malformed, rejected

MAX_REQUEST_BYTES = 16 * 1024 * 1024
MAX_FILE_BYTES = 100 * 1024 * 1024
BODY_TOO_LARGE = ApiError(413, BAD_REQUEST, "Request is too large")
_FORM_OVERHEAD_BYTES = 64 * 1024

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
Answer = Callable[[str, Mapping[str, str], bytes, str], bytes]


class Workers:
    """Run blocking work beside the event loop, on few threads.

    More threads than cores only make them wait for each other, for the interpreter's lock first.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor((os.cpu_count() or 1) + 2, "request")

    async def run(self, work: Callable[[], bytes]) -> bytes:
        """Return what the work returns, or raise what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def signed_endpoint(answer: Answer, workers: Workers) -> Endpoint:
    """Return the endpoint of the signed requests.

    ``answer`` takes the path, the headers, the body and the peer's address, and returns the
    encrypted answer; it runs in a thread.
    """

    async def endpoint(request: Request) -> Response:
        path = request.path_params["path"]
        if path not in PATHS:
            raise rejected(OBJECT_UNKNOWN, reason="the path is unknown")
        refuse_announced(request, MAX_REQUEST_BYTES)
        # The server never passes on more than was announced, so one check is enough.
        body = await request.body()
        address = peer_address(request)
        content = await workers.run(lambda: answer(path, request.headers, body, address))
        return Response(content, media_type=CONTENT_TYPE)

    return endpoint


def reporting(
    endpoint: Endpoint,
    *,
    location: str,
    answer: Callable[[RequestRejected], Mapping[str, object]] = lambda exc: dict(exc.body),
    headers: Callable[[RequestRejected], Mapping[str, str]] = lambda _: {},
) -> Endpoint:
    """Return the endpoint with every error turned into an answer, and each request logged.

    ``location`` is the part of an error that says who answers; ``answer`` and ``headers`` give
    the error's own body and headers.
    """

    async def reported(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except RequestRejected as exc:
            body = {
                "path": f"{request.url.replace(query='')}, {request.method}",
                "additional_info": exc.reason or "",
                "location": location,
                **answer(exc),
            }
            response = JSONResponse(body, exc.status, headers(exc))
        except ClientDisconnect:
            # Nobody is left to read the answer.
            response = Response(status_code=400)
        except (KsmStorageError, OSError) as exc:
            # The reason stays here: it may name files of the server.
            log.error("%s failed: %s", _sent_path(request), exc)
            response = JSONResponse({"error": "server_error"}, status_code=500)
        log.info("%s %s %d", request.method, _sent_path(request), response.status_code)
        return response

    return reported


def peer_address(request: Request) -> str:
    """Return the address of the other end of the connection; never a claimed one."""
    # Forwarding headers are not read: whoever sends one could choose the address.
    host = request.client.host if request.client else ""
    return host.removeprefix("::ffff:")


async def read_upload(request: Request) -> tuple[Mapping[str, str], bytes]:
    """Return the fields of an upload form and the content of its part ``file``.

    The part may come without a file name, as the SDKs for JavaScript, Java and .NET send it, and
    the form in chunks without an announced length.
    """
    max_bytes = MAX_FILE_BYTES + _FORM_OVERHEAD_BYTES
    if "transfer-encoding" not in request.headers:
        refuse_announced(request, max_bytes)
    parts: dict[bytes, bytes] = {}

    def on_field(field: Field) -> None:
        parts[field.field_name or b""] = field.value or b""

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        parts[file.field_name or b""] = file.file_object.read()

    try:
        content_type = request.headers.get("content-type", "")
        # In memory, because the content is checked and stored as one piece.
        limits = {"MAX_MEMORY_FILE_SIZE": max_bytes}
        form = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")}, on_field, on_file, limits
        )
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > max_bytes:
                raise rejected(BODY_TOO_LARGE)
            form.write(chunk)
        form.finalize()
    except (FormParserError, ValueError) as exc:
        raise malformed("the body is not a form") from exc
    content = parts.pop(b"file", None)
    if content is None:
        raise malformed("the form has no part named file")
    return {
        name.decode("latin-1"): value.decode("latin-1") for name, value in parts.items()
    }, content


def refuse_announced(request: Request, max_bytes: int) -> None:
    """Reject a request that does not announce its length, or announces too much."""
    announced = request.headers.get("content-length", "")
    # Chunks count where both are given, and may go on for ever.
    if "transfer-encoding" in request.headers:
        announced = ""
    if not announced.isdecimal() or len(announced) > 12:
        raise malformed("the request does not announce its length")
    if int(announced) > max_bytes:
        raise rejected(BODY_TOO_LARGE)


def _sent_path(request: Request) -> str:
    # The path only: a query holds the seal of a download. As it was sent: what "%0A" stands for
    # would begin a line of the log.
    return bytes(request.scope["raw_path"]).decode("ascii", errors="backslashreplace")
