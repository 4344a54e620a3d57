"""A file of a record: described, downloaded and checked when it is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DecryptionError, StorageError
from ..wire.aes import GCM_OVERHEAD_BYTES, GcmKey
from ..wire.base64_forms import from_base64
from .answer_json import as_text
from .errors import ServerAnswerError

# Fetches an address; the second argument is the most bytes that may come.
Downloader = Callable[[str, int], bytes]

# A description without a size is possible; then this bounds what is taken into memory.
_MOST_BYTES = 1 << 30


class KeeperFile:
    """Hold one file; names are those of the official package.

    Attributes:
        f: The sealed entry as the server sent it.
    """

    __slots__ = ("_data", "_download", "_key", "_meta", "f", "record_key_bytes")

    def __init__(
        self, f: Mapping[str, Any], record_key_bytes: bytes, *, download: Downloader
    ) -> None:
        self.f = f
        self.record_key_bytes = record_key_bytes
        self._download = download
        self._key: GcmKey | None = None
        self._meta: dict[str, Any] | None = None
        self._data: bytes | None = None

    def __repr__(self) -> str:
        return f"KeeperFile(uid={self.uid!r})"

    @property
    def uid(self) -> str:
        """Return the file's uid."""
        return self.f.get("fileUid") or ""

    @property
    def meta_dict(self) -> dict[str, Any]:
        """Return the description: name, title, size, lastModified and type.

        Raises:
            DecryptionError: It does not open with the record key.
        """
        if self._meta is None:
            try:
                meta = json.loads(self._file_key().open(from_base64(self.f["data"])))
            except (KeyError, ValueError, RecursionError) as exc:
                raise self._unusable() from exc
            if not isinstance(meta, dict):
                raise self._unusable()
            self._meta = meta
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

    def get_file_data(self) -> bytes:
        """Download the file once and return its content.

        Raises:
            ServerUnreachableError, ServerAnswerError: It cannot be downloaded.
            DecryptionError: It is altered, cut off, or not of the described size.
        """
        if self._data is None:
            data = self._opened(self._download(self._url(), self._most_bytes()))
            if self.meta_dict.get("size") not in (None, len(data)):
                raise DecryptionError(
                    f"the file {self.uid!r} has {len(data)} bytes, its description {self.size}"
                )
            self._data = data
        return self._data

    def save_file(self, path: str | os.PathLike[str], create_folders: bool = False) -> bool:
        """Write the content to ``path``, with mode 0600 if the file is new; return True."""
        data = self.get_file_data()
        target = Path(path)
        try:
            if create_folders:
                target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb", opener=_private) as file:
                file.write(data)
        except OSError as exc:
            raise StorageError(f"cannot write {str(target)!r}: {exc.strerror}") from exc
        return True

    def _opened(self, sealed: bytes) -> bytes:
        try:
            return self._file_key().open(sealed)
        except DecryptionError as exc:
            raise DecryptionError(
                f"the content of the file {self.uid!r} is altered or cut off",
                hint="try again; if it stays, upload the file anew",
            ) from exc

    def _file_key(self) -> GcmKey:
        if self._key is None:
            try:
                sealed = from_base64(self.f["fileKey"])
            except (KeyError, ValueError) as exc:
                raise self._unusable() from exc
            self._key = GcmKey(GcmKey(self.record_key_bytes).open(sealed))
        return self._key

    def _url(self) -> str:
        url: str | None = self.f.get("url")
        if not url:
            raise ServerAnswerError(f"the server sent no address for the file {self.uid!r}")
        return url

    def _most_bytes(self) -> int:
        size = self.meta_dict.get("size")
        known = size if isinstance(size, int) and size >= 0 else _MOST_BYTES
        return known + GCM_OVERHEAD_BYTES

    def _unusable(self) -> DecryptionError:
        return DecryptionError(f"the file {self.uid!r} is not of the protocol")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
