"""A file to be attached to a record, and the form in which it is posted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import StorageError


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
        """Read a file; its own name serves where none is given."""
        # Loaded here: it reads the system's tables, and only uploads need it.
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
