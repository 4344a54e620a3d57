"""A bound device in conversation: binds at the first question, falls back to the offline copy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import KsmStorageError, StorageError
from ..wire import endpoints
from ..wire.requests import ClientPart, GetRequest
from . import binding
from .answer_json import parse_answer
from .device import Device
from .errors import (
    AccessExpiredError,
    ClientRevokedError,
    ClientUnknownError,
    ServerAnswerError,
    ServerUnreachableError,
)
from .options import QueryOptions
from .requester import Requester
from .transport import HttpsTransport

if TYPE_CHECKING:
    from .offline_copy import OfflineCopy

# Whoever may not read online may not go on reading offline.
_ENDED = (AccessExpiredError, ClientRevokedError, ClientUnknownError)


class Session:
    """Ask the server on behalf of one device.

    Attributes:
        device: The client device.
        just_bound: Whether the one-time token was redeemed by this object.
    """

    def __init__(
        self,
        device: Device,
        requester: Requester,
        transport: HttpsTransport,
        *,
        offline_copy: OfflineCopy | None = None,
    ) -> None:
        self.device = device
        self.just_bound = False
        self._requester = requester
        self._transport = transport
        self._offline = offline_copy

    def bind(self) -> bool:
        """Redeem the one-time token if that has not happened; return whether it did now."""
        if self.device.is_bound:
            return False
        self.just_bound = binding.bind(self.device, self._requester)
        return self.just_bound

    def client_part(self) -> ClientPart:
        """Return what every request carries."""
        return {"clientVersion": endpoints.CLIENT_VERSION, "clientId": self.device.client_id}

    def ask(self, path: str, payload: Mapping[str, Any]) -> bytes:
        """Return the opened answer; bind first if need be."""
        self.bind()
        return self._requester.ask(path, payload)

    def fetch_secrets(self, options: QueryOptions | None) -> tuple[bytes, datetime | None]:
        """Return the answer of get_secret, and when it was fetched if it is the offline copy."""
        request: GetRequest = {
            "clientVersion": endpoints.CLIENT_VERSION,
            "clientId": self.device.client_id,
        }
        if options and options.records_filter:
            request["requestedRecords"] = list(options.records_filter)
        if options and options.folders_filter:
            request["requestedFolders"] = list(options.folders_filter)
        if options and options.request_links:
            request["requestLinks"] = True
        try:
            answer = self.ask(endpoints.GET_SECRET, request)
        except ServerUnreachableError as exc:
            return self._from_copy(exc)
        except _ENDED:
            if self._offline is not None:
                self._offline.remove()
            raise
        # Neither a part of the records nor an answer of none may replace the copy of all.
        is_whole = not request.keys() & _FILTERS and answer.lstrip().startswith(b"{")
        if self._offline is not None and is_whole:
            self._offline.save(answer, self.device.app_key())
        return answer, None

    def _from_copy(self, unreachable: ServerUnreachableError) -> tuple[bytes, datetime]:
        if self._offline is None or not self.device.is_bound:
            raise unreachable
        try:
            answer, fetched = self._offline.load(self.device.app_key())
            _check_access(answer)
        except KsmStorageError as exc:
            unreachable.hint = f"{exc.message}, so it does not help either"
            raise unreachable from exc
        return answer, fetched

    def download(self, url: str, limit: int) -> bytes:
        """Return what is at an https address, at most ``limit`` bytes."""
        answer = self._transport.get(url, limit=limit)
        if answer.status != 200:
            raise ServerAnswerError(
                f"the download ended with status {answer.status}",
                hint="addresses of files expire: fetch the record again",
                operation="download",
            )
        return answer.body

    def upload(self, url: str, *, media_type: str, body: bytes) -> None:
        """Post a form to an https address; raise ServerAnswerError unless it is accepted."""
        answer = self._transport.post(url, headers={"Content-Type": media_type}, body=body)
        if not 200 <= answer.status < 400:
            raise ServerAnswerError(
                f"the upload ended with status {answer.status}", operation="upload"
            )


_FILTERS = frozenset({"requestedRecords", "requestedFolders"})


def _check_access(answer: bytes) -> None:
    expires = parse_answer(answer).get("expiresOn")
    if isinstance(expires, int) and 0 < expires < time.time() * 1000:
        raise StorageError("the access has expired since the offline copy was made")
