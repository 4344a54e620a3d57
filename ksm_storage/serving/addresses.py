"""Addresses: of a server, and those under which a device uploads and downloads encrypted files.

Uploads and downloads are plain HTTP requests without a signature, as with the service's own file
store, so the address itself is the permission: unguessable, for one device, and for a limited
time.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from ..wire.answers import AddFileAnswer
from ..wire.api_errors import ApiError
from ..wire.base64_forms import to_url_safe

Clock = Callable[[], int]

LIFE_MILLISECONDS = 3_600_000
UPLOADED = 201
UPLOAD_EXPIRED = ApiError(403, "access_denied", "Upload address is expired or used")
DOWNLOAD_EXPIRED = ApiError(403, "access_denied", "Download address is expired or altered")


def now_milliseconds() -> int:
    """Return the milliseconds since 1970, the unit of every time of the protocol."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class FileAddresses:
    """Make and check the addresses of files."""

    host: str
    secret: bytes = field(repr=False)
    clock: Clock

    def download_url(self, file_uid: str, client_id: str) -> str:
        """Return where this device downloads the file for the next hour."""
        expires = self.clock() + LIFE_MILLISECONDS
        seal = self._seal(file_uid, client_id, expires)
        query = f"client={quote(client_id, safe='')}&expires={expires}&seal={seal}"
        return f"https://{self.host}/files/{file_uid}?{query}"

    def allows_download(self, file_uid: str, client_id: str, *, expires: str, seal: str) -> bool:
        """Tell whether the address was made here and is still good."""
        if not expires.isdecimal() or len(expires) > 15 or not seal.isascii():
            return False
        made_here = hmac.compare_digest(self._seal(file_uid, client_id, int(expires)), seal)
        return made_here and self.clock() < int(expires)

    def upload_answer(self, ticket: str) -> AddFileAnswer:
        """Return where and with what the encrypted content is posted, once."""
        return {
            "url": f"https://{self.host}/files",
            "parameters": json.dumps({"ticket": ticket}),
            "successStatusCode": UPLOADED,
        }

    def _seal(self, file_uid: str, client_id: str, expires: int) -> str:
        message = f"{file_uid}\n{client_id}\n{expires}".encode()
        return to_url_safe(hmac.new(self.secret, message, "sha256").digest())


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bracketed(host: str) -> str:
    """Return the host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
