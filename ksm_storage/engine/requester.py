"""One question to the server and its answer, through key changes and throttling."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from ..errors import DecryptionError, KsmStorageError
from ..wire import api_errors, endpoints
from ..wire.aes import gcm_open
from ..wire.signed_request import SignedRequest, make_request
from . import server_keys
from .config_keys import ConfigKey
from .device import Device
from .errors import ServerAnswerError, ServerRefusedError, ServerThrottledError
from .patience import Patience, asked_seconds
from .refusal import code_of, read_body, refusal_error
from .transmission import EncryptedPayload, PostFunction, TransmissionKey
from .transport import HttpAnswer, HttpsTransport

_MOST_KEY_CHANGES = 3
_FORBIDDEN = 403
# What stands before the service may say so in words of its own.
_TOO_MANY = 429
_log = logging.getLogger(__name__)


class Requester:
    """Ask the server; each attempt has its own transmission key and signature."""

    def __init__(
        self,
        device: Device,
        transport: HttpsTransport,
        *,
        patience: Patience,
        custom_post_function: PostFunction | None = None,
        proxy_url: str | None = None,
    ) -> None:
        self._device = device
        self._transport = transport
        self._patience = patience
        self._custom_post = custom_post_function
        self._proxy_url = proxy_url

    def ask(self, path: str, payload: Mapping[str, Any]) -> bytes:
        """Return the opened answer, which may be empty.

        Raises:
            ServerRefusedError: By its class, what the server said.
            ServerUnreachableError: No answer.
            ServerAnswerError: An answer that does not open.
        """
        body = json.dumps(payload).encode()
        asked_key: str | None = None
        key_changes = throttled = 0
        while True:
            key_id, point = self._device.server_key(asked_key)
            answer, key = self._send(path, body, key_id=key_id, point=point)
            if answer.status == 200:
                self._remember_key(asked_key)
                return _opened(answer.body, key, path=path)
            said = read_body(answer.body)
            if code_of(said) == api_errors.KEY:
                key_changes += 1
                asked_key = _next_key(said, key_changes=key_changes)
            elif answer.status == _TOO_MANY or (
                code_of(said) == api_errors.THROTTLED and answer.status == _FORBIDDEN
            ):
                self._wait(throttled, asked_seconds(said, answer.retry_after), path=path)
                throttled += 1
            else:
                raise refusal_error(answer.status, said, operation=path)

    def _send(
        self, path: str, body: bytes, *, key_id: str, point: bytes
    ) -> tuple[HttpAnswer, bytes]:
        request, key = make_request(
            body,
            private_key=self._device.private_key(),
            server_public_key=point,
            public_key_id=key_id,
        )
        url = endpoints.request_url(self._device.host, path)
        if self._custom_post is not None and path == endpoints.GET_SECRET:
            return _post_custom(self._custom_post, url, request, key, self._proxy_url)
        answer = self._transport.post(url, headers=request.headers(), body=request.body)
        _log.debug("%s answered with status %d", path, answer.status)
        return answer, key

    def _wait(self, attempt: int, asked: float, *, path: str) -> None:
        seconds = self._patience.wait_seconds(attempt, asked=asked)
        if seconds is None:
            raise ServerThrottledError(
                f"the server asked {attempt + 1} times for fewer requests",
                hint="ask less often, or for more records at once",
                operation=path,
                server_code=api_errors.THROTTLED,
            )
        _log.warning("%s is throttled; waiting %.1f s", path, seconds)
        self._patience.sleep(seconds)

    def _remember_key(self, key_id: str | None) -> None:
        if key_id is None:
            return
        try:
            self._device.set(ConfigKey.SERVER_PUBLIC_KEY_ID, key_id)
        except KsmStorageError:
            # The server names the key again next time; a read-only configuration still works.
            _log.warning("the server's new public key id could not be saved")


def _post_custom(
    post: PostFunction, url: str, request: SignedRequest, key: bytes, proxy_url: str | None
) -> tuple[HttpAnswer, bytes]:
    transmission = TransmissionKey(request.public_key_id, key, request.transmission_key)
    given = post(
        url, transmission, EncryptedPayload(request.body, request.signature), True, proxy_url
    )
    # A function that answers from a cache puts the key of the cached answer here.
    key = transmission.key
    if given.status_code == 200:
        return HttpAnswer(200, given.data or b""), key
    text = str(getattr(given.http_response, "text", "") or "")
    return HttpAnswer(int(given.status_code), text.encode()), key


def _next_key(said: Mapping[str, Any], *, key_changes: int) -> str:
    key_id = said.get("key_id")
    # It goes into a header and into messages.
    if key_id is None or isinstance(key_id, bool) or not server_keys.is_key_id(str(key_id)):
        raise ServerAnswerError("the server asks for another public key and does not name it")
    if key_changes > _MOST_KEY_CHANGES:
        raise ServerRefusedError(
            f"the server asked for another public key {key_changes} times",
            hint="check server_public_key and server_public_key_id",
            server_code=api_errors.KEY,
        )
    _log.info("the server asks for public key %.16r", str(key_id))
    return str(key_id)


def _opened(body: bytes, key: bytes, *, path: str) -> bytes:
    if not body:
        return b""
    try:
        return gcm_open(key, body)
    except DecryptionError as exc:
        raise ServerAnswerError(
            "the answer does not open with the key of its request", operation=path
        ) from exc
