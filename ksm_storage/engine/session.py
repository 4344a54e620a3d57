"""One client device in conversation with the server: key changes, throttling, offline copy."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DecryptionError, KsmStorageError, StorageError
from ..wire import api_errors, endpoints
from ..wire.aes import gcm_open
from ..wire.requests import ClientPart, GetRequest
from ..wire.signed_request import SignedRequest, make_request
from . import late_errors as errors
from .answer import parse_answer
from .backoff import BackoffPolicy, ThrottleGate, asked_seconds
from .binding import bind, open_device
from .configkeys import ConfigKeys
from .device import Device, DeviceStorage, is_key_id, is_true
from .dto.payload import EncryptedPayload, QueryOptions, TransmissionKey
from .error_rules import code_of, error_for, read_body
from .transport import HttpAnswer, Transport

if TYPE_CHECKING:
    from .offline_copy import OfflineCopy

_MAX_KEY_CHANGES = 3
_FORBIDDEN = 403
_TOO_MANY_REQUESTS = 429
_FILTERS = frozenset({"requestedRecords", "requestedFolders"})
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")

# Returns the function that sends a request in the place of HTTPS, or None.
ChoosePost = Callable[[str], Callable[..., Any] | None]
# Asks a question by path and payload.
Ask = Callable[[str, Mapping[str, Any]], Coroutine[Any, Any, bytes]]
_T = TypeVar("_T")


def build_session(
    *,
    token: str | None,
    hostname: str | None,
    config: DeviceStorage | None,
    server_public_key: str | None,
    server_public_key_id: str | None,
    transport: Transport,
    proxy_url: str | None,
    backoff: BackoffPolicy,
    offline_copy: str | os.PathLike[str] | None,
    offline_max_age_seconds: float,
    choose_post: ChoosePost,
    ask: Ask,
) -> Session:
    """Return a session that has sent nothing yet.

    A wrong CA file or CA variable is refused before a token is stored: it changes no configuration.
    """
    device = open_device(
        token=token,
        hostname=hostname,
        config=config,
        server_public_key=server_public_key,
        server_public_key_id=server_public_key_id,
        before_storing=transport.check_authorities,
    )
    copy = None
    if offline_copy is not None:
        # Imported here: it needs modules that no other part of the engine does.
        from .offline_copy import OfflineCopy

        copy = OfflineCopy(offline_copy, max_age_seconds=offline_max_age_seconds)
    return Session(
        device,
        transport,
        backoff=backoff,
        proxy_url=proxy_url,
        offline_copy=copy,
        choose_post=choose_post,
        ask=ask,
    )


def require_verification(verify_ssl_certs: object) -> None:
    """Raise ClientSettingsError if the caller or KSM_SKIP_VERIFY leaves certificates unverified."""
    if verify_ssl_certs is not True or is_true(os.environ.get("KSM_SKIP_VERIFY")):
        raise errors.ClientSettingsError(
            "certificate verification cannot be disabled",
            hint="pass the server's CA as ca_file, and unset KSM_SKIP_VERIFY",
        )


@dataclass(frozen=True, slots=True)
class _Throttled:
    """Say that a request was throttled, and how long the server asked to wait."""

    asked_seconds: float


class Session:
    """Ask the server on behalf of one device; each attempt has its own transmission key.

    Attributes:
        device: The client device.
        ask: Ask a question by path and payload; a bound method of the manager, so that a program
            which replaces that method is obeyed.
    """

    def __init__(
        self,
        device: Device,
        transport: Transport,
        *,
        backoff: BackoffPolicy,
        proxy_url: str | None,
        offline_copy: OfflineCopy | None,
        choose_post: ChoosePost,
        ask: Ask,
    ) -> None:
        self.device = device
        self.ask = ask
        self._transport = transport
        self._backoff = backoff
        self._proxy_url = proxy_url
        self._offline = offline_copy
        self._choose_post = choose_post

    async def bind(self) -> bool:
        """Redeem the one-time token if that has not happened; return whether it did now."""
        if await self.work(lambda: self.device.is_bound):
            return False
        return await bind(self.device, self.ask, work=self.work)

    async def client_part(self) -> ClientPart:
        """Return what every request carries; bind first if need be."""
        await self.bind()
        client_id = await self.work(lambda: self.device.client_id)
        return {"clientVersion": endpoints.CLIENT_VERSION, "clientId": client_id}

    async def fetch_secrets(self, options: QueryOptions | None) -> tuple[bytes, datetime | None]:
        """Return the answer of get_secret, and when it was fetched if it is the offline copy."""
        client = await self.client_part()
        request: GetRequest = {
            "clientVersion": client["clientVersion"],
            "clientId": client["clientId"],
        }
        if options and options.records_filter:
            request["requestedRecords"] = list(options.records_filter)
        if options and options.folders_filter:
            request["requestedFolders"] = list(options.folders_filter)
        if options and options.request_links:
            request["requestLinks"] = True
        if self._offline is None:
            return await self.ask(endpoints.GET_SECRET, request), None
        return await self._fetch_or_load(request, self._offline)

    async def _fetch_or_load(
        self, request: GetRequest, offline: OfflineCopy
    ) -> tuple[bytes, datetime | None]:
        try:
            answer = await self.ask(endpoints.GET_SECRET, request)
        except errors.ServerUnreachableError as exc:
            unreachable = exc
            return await self.work(lambda: self._loaded(offline, unreachable))
        except errors.ServerRefusedError as exc:
            # Whoever may not read online may not go on reading offline.
            if exc.server_code == api_errors.ACCESS_DENIED:
                await self.work(offline.remove)
            raise
        # Neither a part of the records nor an empty answer may replace the copy of all.
        if not request.keys() & _FILTERS and answer.lstrip().startswith(b"{"):
            await self.work(lambda: offline.save(answer, self.device.app_key()))
        return answer, None

    def _loaded(self, offline: OfflineCopy, unreachable: Any) -> tuple[bytes, datetime]:
        try:
            answer, fetched = offline.load(self.device.app_key())
            _check_access(answer)
        except KsmStorageError as exc:
            unreachable.hint = f"the offline copy cannot be used either: {exc.message}"
            raise unreachable from exc
        return answer, fetched

    async def exchange(self, path: str, payload: Mapping[str, Any]) -> bytes:
        """Send a request until it is answered, and return the decrypted answer, maybe empty.

        Raises:
            ServerRefusedError: By its class, what the server answered.
            ServerUnreachableError: No answer.
            ServerAnswerError: An answer that cannot be decrypted.
        """
        body = json.dumps(payload).encode()
        gate = await self.work(
            lambda: ThrottleGate.of(self.device.host, self.device.client_id, path)
        )
        seen = await gate.wait_until_open(self._transport.acquire)
        answer = await self._attempt(path, body)
        if not isinstance(answer, _Throttled):
            return answer
        async with gate.closed(seen, self._transport.acquire) as must_wait:
            for attempt in range(self._backoff.retries + 1):
                if must_wait:
                    await self._wait(attempt, answer.asked_seconds, path=path)
                must_wait = True
                answer = await self._attempt(path, body)
                if not isinstance(answer, _Throttled):
                    return answer
            raise _still_throttled(attempt + 1, path)

    async def _attempt(self, path: str, body: bytes) -> bytes | _Throttled:
        asked_key: str | None = None
        key_changes = 0
        while True:
            answer, key = await self._send(path, body, asked_key)
            if answer.status == 200:
                await self._remember_key(asked_key)
                return _decrypted(answer.body, key, path=path)
            said = read_body(answer.body)
            code = code_of(said)
            if code == api_errors.KEY:
                key_changes += 1
                asked_key = _next_key(said, key_changes=key_changes)
            elif _is_throttled(answer.status, code):
                await self._remember_key(asked_key)
                return _Throttled(asked_seconds(said, answer.retry_after))
            else:
                raise error_for(answer.status, answer.body, operation=path)

    async def _send(
        self, path: str, body: bytes, asked_key: str | None
    ) -> tuple[HttpAnswer, bytes]:
        url, request, key = await self.work(lambda: self._signed(path, body, asked_key))
        post = self._choose_post(path)
        if post is not None:
            return await _post_custom(post, url, request, key, self._proxy_url)
        answer = await self._transport.post(url, headers=request.headers(), body=request.body)
        _log.debug("%s answered with status %d", path, answer.status)
        return answer, key

    def _signed(
        self, path: str, body: bytes, asked_key: str | None
    ) -> tuple[str, SignedRequest, bytes]:
        key_id, point = self.device.server_key(asked_key)
        request, key = make_request(
            body,
            sign=self.device.signer().sign,
            server_public_key=point,
            public_key_id=key_id,
        )
        return f"https://{self.device.host}{endpoints.API_PATH}{path}", request, key

    async def _wait(self, attempt: int, asked: float, *, path: str) -> None:
        seconds = self._backoff.wait_seconds(attempt, asked=asked)
        if seconds is None:
            raise _still_throttled(attempt + 1, path)
        _log.warning(
            "%s is throttled (attempt %d/%d); retrying in %.1f s",
            path,
            attempt + 1,
            self._backoff.retries,
            seconds,
        )
        waited = self._backoff.sleep(seconds)
        if isawaitable(waited):
            await waited

    async def _remember_key(self, key_id: str | None) -> None:
        if key_id is None:
            return
        try:
            await self.work(lambda: self.device.set(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID, key_id))
        except KsmStorageError:
            # The server names the key again next time; a read-only configuration still works.
            _log.warning("cannot save the server's new public key id")

    async def work(self, call: Callable[[], _T]) -> _T:
        """Return what a call returns that uses the device or a file, both of which may be slow."""
        return await self._transport.work(call)

    async def finish(self, call: Coroutine[Any, Any, _T]) -> _T:
        """Run a change of several steps to its end, even if its caller is cancelled."""
        return await self._transport.finish(call)

    async def download(self, url: str, limit: int, proxy_url: str | None = None) -> bytes:
        """Return what is at an https address, at most ``limit`` bytes."""
        return await downloaded(self._transport, url, limit, proxy_url)

    async def upload(self, url: str, *, media_type: str, body: bytes) -> None:
        """Post a form to an https address; raise ServerAnswerError unless it is accepted."""
        answer = await self._transport.post(url, headers={"Content-Type": media_type}, body=body)
        if not 200 <= answer.status < 400:
            raise errors.ServerAnswerError(
                f"the upload ended with HTTP status {answer.status}", operation="upload"
            )


async def downloaded(
    transport: Transport, url: str, limit: int, proxy_url: str | None = None
) -> bytes:
    """Return what is at an https address; raise ServerAnswerError unless the status is 200."""
    answer = await transport.get(url, limit=limit, proxy_url=proxy_url)
    if answer.status != 200:
        raise errors.ServerAnswerError(
            f"the download ended with HTTP status {answer.status}",
            hint="addresses of files expire: fetch the record again",
            operation="download",
        )
    return answer.body


def _is_throttled(status: int, code: str | None) -> bool:
    # A proxy in front of the service may throttle with 429 in words of its own.
    if status == _TOO_MANY_REQUESTS:
        return True
    return status == _FORBIDDEN and code == api_errors.THROTTLED


def _still_throttled(requests: int, path: str) -> KsmStorageError:
    return errors.ServerThrottledError(
        f"request throttled: the server refused it {requests} times",
        hint="send fewer requests, or ask for more records at once",
        operation=path,
        server_code=api_errors.THROTTLED,
    )


async def _post_custom(
    post: Callable[..., Any], url: str, request: SignedRequest, key: bytes, proxy_url: str | None
) -> tuple[HttpAnswer, bytes]:
    transmission = TransmissionKey(request.public_key_id, key, request.transmission_key)
    given = post(
        url, transmission, EncryptedPayload(request.body, request.signature), True, proxy_url
    )
    # Without inspect.isawaitable, whose check of an abstract class takes longer than the rest.
    if hasattr(given, "__await__"):
        given = await given
    # A function that answers from a cache puts the key of the cached answer here.
    key = transmission.key
    if given.status_code == 200:
        return HttpAnswer(200, given.data or b""), key
    response = given.http_response
    text = str(getattr(response, "text", "") or "")
    headers = getattr(response, "headers", None) or {}
    return HttpAnswer(int(given.status_code), text.encode(), headers.get("Retry-After")), key


def _next_key(said: Mapping[str, Any], *, key_changes: int) -> str:
    key_id = said.get("key_id")
    # It goes into a header and into messages.
    if key_id is None or isinstance(key_id, bool) or not is_key_id(str(key_id)):
        raise errors.ServerAnswerError("the server requests another public key without a valid id")
    if key_changes > _MAX_KEY_CHANGES:
        raise errors.ServerRefusedError(
            f"the server requested another public key {key_changes} times",
            hint="check server_public_key and server_public_key_id",
            server_code=api_errors.KEY,
        )
    _log.info("the server requests public key %.16r", str(key_id))
    return str(key_id)


def _decrypted(body: bytes, key: bytes, *, path: str) -> bytes:
    if not body:
        return b""
    try:
        return gcm_open(key, body)
    except DecryptionError as exc:
        raise errors.ServerAnswerError(
            "cannot decrypt the answer with the key of its request", operation=path
        ) from exc


def _check_access(answer: bytes) -> None:
    expires = parse_answer(answer).get("expiresOn")
    if isinstance(expires, int) and 0 < expires < time.time() * 1000:
        raise StorageError("the access has expired since the offline copy was made")
