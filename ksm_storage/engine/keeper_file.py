"""Files of a record: described, downloaded and checked on demand, and new ones to upload."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, SupportsIndex

from ..errors import DecryptionError, StorageError
from ..wire.aes import GCM_OVERHEAD_BYTES, GcmKey
from ..wire.base64_forms import from_base64
from ..wire.json_objects import as_text, parse_object
from . import late_errors as errors
from .transport import HttpsTransport, run

# Fetches an address: the url, the most bytes that may come, a proxy or None.
Downloader = Callable[[str, int, str | None], Coroutine[Any, Any, bytes]]

# A description without a size is possible; then this bounds what is taken into memory.
_MAX_BYTES = 1 << 30


class KeeperFile:
    """Hold one file; names are those of the official package.

    Attributes:
        f: The encrypted entry as the server sent it.
        file_data: The content once it has been downloaded, None before.
    """

    __slots__ = ("__dict__", "_download", "_key", "_meta", "f", "file_data", "record_key_bytes")

    def __init__(
        self, f: Mapping[str, Any], record_key_bytes: bytes, *, download: Downloader
    ) -> None:
        self.f = f
        self.record_key_bytes = record_key_bytes
        self.file_data: bytes | None = None
        self._download = download
        self._key: GcmKey | None = None
        self._meta: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"KeeperFile(uid={self.uid!r})"

    def __str__(self) -> str:
        return f"[KeeperFile - name: {self.name}, title: {self.title}]"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return (_restored, (dict(self.f), self.record_key_bytes, self.file_data, self.__dict__))

    @property
    def uid(self) -> str:
        """Return the file's uid."""
        return self.f.get("fileUid") or ""

    @property
    def meta_dict(self) -> dict[str, Any]:
        """Return the description: name, title, size, lastModified and type.

        Raises:
            DecryptionError: The record key does not decrypt it.
        """
        if self._meta is None:
            try:
                self._meta = parse_object(self._file_key().open(from_base64(self.f["data"])))
            except (KeyError, ValueError) as exc:
                raise self._invalid() from exc
        return self._meta

    @property
    def name(self) -> str:
        """Return the file name."""
        return as_text(self.meta_dict.get("name"))

    @property
    def title(self) -> str:
        """Return the title."""
        return as_text(self.meta_dict.get("title"))

    @property
    def type(self) -> str:
        """Return the media type."""
        return as_text(self.meta_dict.get("type"))

    @property
    def size(self) -> int:
        """Return the size in bytes, as described."""
        return self.meta_dict.get("size") or 0

    @property
    def last_modified(self) -> int:
        """Return when it was changed, in milliseconds since 1970."""
        return self.meta_dict.get("lastModified") or 0

    def get_file_data(self, verify_ssl_certs: bool = True, proxy_url: str | None = None) -> bytes:
        """Download the file once and return its content.

        Raises:
            ClientSettingsError: ``verify_ssl_certs`` is not True.
            ServerUnreachableError, ServerAnswerError: It cannot be downloaded.
            DecryptionError: It is altered, cut off, or not of the described size.
        """
        from .session import require_verification

        require_verification(verify_ssl_certs)
        return run(self.fetch(None, proxy_url))

    async def fetch(self, download: Downloader | None, proxy_url: str | None = None) -> bytes:
        """Return the content, fetched once; with None as its record's client would fetch it.

        Raises as :meth:`get_file_data`.
        """
        if self.file_data is None:
            download = download or self._download
            encrypted = await download(self._url(), self._max_bytes(), proxy_url)
            data = self._decrypted(encrypted)
            if self.meta_dict.get("size") not in (None, len(data)):
                raise DecryptionError(
                    f"the file {self.uid!r} is {len(data)} bytes, not {self.size} as described"
                )
            self.file_data = data
        return self.file_data

    def save_file(
        self,
        path: str | os.PathLike[str],
        create_folders: bool = False,
        verify_ssl_certs: bool = True,
        proxy_url: str | None = None,
    ) -> bool:
        """Write the content to ``path``, with mode 0600 if the file is new; return True."""
        data = self.get_file_data(verify_ssl_certs, proxy_url)
        target = Path(path)
        try:
            if create_folders:
                target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb", opener=_private) as file:
                file.write(data)
        except OSError as exc:
            raise StorageError(f"cannot write {str(target)!r}: {exc.strerror}") from exc
        return True

    def _decrypted(self, encrypted: bytes) -> bytes:
        try:
            return self._file_key().open(encrypted)
        except DecryptionError as exc:
            raise DecryptionError(
                f"the content of the file {self.uid!r} is altered or cut off",
                hint="retry; if it persists, upload the file again",
            ) from exc

    def _file_key(self) -> GcmKey:
        if self._key is None:
            try:
                encrypted = from_base64(self.f["fileKey"])
            except (KeyError, ValueError) as exc:
                raise self._invalid() from exc
            self._key = GcmKey(GcmKey(self.record_key_bytes).open(encrypted))
        return self._key

    def _url(self) -> str:
        url: str | None = self.f.get("url")
        if not url:
            raise errors.ServerAnswerError(f"the server sent no address for the file {self.uid!r}")
        return url

    def _max_bytes(self) -> int:
        size = self.meta_dict.get("size")
        known = size if isinstance(size, int) and size >= 0 else _MAX_BYTES
        return known + GCM_OVERHEAD_BYTES

    def _invalid(self) -> DecryptionError:
        return DecryptionError(f"the file {self.uid!r} is not of the protocol")


def _restored(
    f: Mapping[str, Any], key: bytes, data: bytes | None, added: Mapping[str, Any]
) -> KeeperFile:
    file = KeeperFile(f, key, download=download_directly)
    file.file_data = data
    file.__dict__.update(added)
    return file


async def download_directly(url: str, limit: int, proxy_url: str | None = None) -> bytes:
    """Download for a copied record, which has no connection of its own."""
    from .session import downloaded

    return await downloaded(HttpsTransport(), url, limit, proxy_url)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class KeeperFileUpload:
    """Hold a file to upload; names are those of the official package."""

    def __init__(
        self,
        name: str | None = None,
        title: str | None = None,
        mime_type: str | None = None,
        data: bytes | None = None,
    ) -> None:
        self.Name = name
        self.Title = title
        self.Type = mime_type
        self.Data = data

    def __repr__(self) -> str:
        return f"KeeperFileUpload(name={self.Name!r})"

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        file_name: str | None = None,
        file_title: str | None = None,
        mime_type: str | None = None,
    ) -> KeeperFileUpload:
        """Read a file; its own name is the default."""
        # Imported here: it reads the system's tables, and only uploads need it.
        import mimetypes

        try:
            data = Path(path).read_bytes()
        except OSError as exc:
            raise StorageError(f"cannot read {os.fspath(path)!r}: {exc.strerror}") from exc
        name = file_name or Path(path).name
        guessed = mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return cls(name, file_title or name, guessed, data)


def multipart_form(parameters: Mapping[str, Any], content: bytes) -> tuple[str, bytes]:
    """Return media type and body of a form with these parameters and the part ``file``."""
    # A random boundary cannot be foreseen by whoever made the content.
    boundary = os.urandom(24).hex()
    parts = [_part(boundary, str(name), str(value)) for name, value in parameters.items()]
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n"
    body = b"".join([*parts, head.encode(), content, tail.encode()])
    return f"multipart/form-data; boundary={boundary}", body


def _part(boundary: str, name: str, value: str) -> bytes:
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted}"\r\n\r\n'
    return f"{head}{value}\r\n".encode()
