"""Addresses under which a device uploads and downloads encrypted files.

Both are plain HTTP requests without a signature, as with the service's own file store, so the
address itself is the permission: unguessable, for one device, and for a limited time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from urllib.parse import quote

from ...wire.answers import AddFileAnswer
from ...wire.base64_forms import to_url_safe
from ..clock import Clock
from ..data_folder import DataFolder
from ..private_file import read_private, write_private

LIFE_MILLISECONDS = 3_600_000
UPLOADED = 201


@dataclass(frozen=True, slots=True)
class FileAddresses:
    """Make and check the addresses of files."""

    host: str
    secret: bytes
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


def new_upload_ticket() -> tuple[str, bytes]:
    """Return a ticket for the device, and its hash, which is all that the server keeps."""
    ticket = to_url_safe(os.urandom(32))
    return ticket, upload_hash(ticket)


def upload_hash(ticket: str) -> bytes:
    """Return what the database knows of a ticket."""
    return hashlib.sha256(ticket.encode()).digest()


def load_address_secret(folder: DataFolder) -> bytes:
    """Return the secret of the addresses; made once, so that they outlive a restart."""
    path = folder.keys / "file-addresses"
    if not path.exists():
        write_private(path, os.urandom(32))
    return read_private(path)
