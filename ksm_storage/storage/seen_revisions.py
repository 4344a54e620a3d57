"""A lasting memory of the newest revision seen of each envelope: a folder of small files."""

from __future__ import annotations

import os
import re

from ..errors import StorageError
from .file import create_file, replace_file
from .lock import locked
from .reading import read_file

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_CONTENT = re.compile(rb"([1-9][0-9]{0,17})\n")


class SeenRevisions:
    """Remember revisions of envelopes in a folder; what is remembered never becomes less."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def file_of(self, envelope_id: bytes) -> str:
        """Return the path of the file that is to be removed to forget an envelope."""
        return os.path.join(self._folder, envelope_id.hex())

    def newest(self, envelope_id: bytes) -> int:
        """Return the newest revision seen, or 0 if none was.

        Raises:
            StorageError: The file cannot be read, or holds something else.
        """
        path = self.file_of(envelope_id)
        try:
            content = read_file(path).content
        except FileNotFoundError:
            return 0
        found = _CONTENT.fullmatch(content)
        if found is None:
            raise StorageError(
                f"{path!r} holds no revision",
                hint="remove it if you trust the envelope; then its revision is remembered anew",
            )
        return int(found[1])

    def remember(self, envelope_id: bytes, revision: int) -> None:
        """Remember a revision, unless a newer one was seen meanwhile.

        Raises:
            StorageError: It cannot be written; what was remembered stands.
        """
        path = self.file_of(envelope_id)
        self._make_folder()
        with locked(path):
            seen = self.newest(envelope_id)
            if revision <= seen:
                return
            content = b"%d\n" % revision
            if seen:
                replace_file(path, content)
            else:
                create_file(path, content, mode=_FILE_MODE)

    def _make_folder(self) -> None:
        try:
            os.makedirs(self._folder, mode=_FOLDER_MODE, exist_ok=True)
        except OSError as exc:
            raise StorageError(f"cannot make {self._folder!r}: {exc.strerror}") from exc

    def __repr__(self) -> str:
        return f"<SeenRevisions in {self._folder!r}>"
