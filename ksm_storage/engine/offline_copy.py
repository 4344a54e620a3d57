"""The last answer, encrypted on disk, for when the server cannot be reached.

The file is a magic line, the time of fetching, and AES-GCM of the answer. The key is derived from
the application key with a label of its own, so that a reader of the file needs the client
configuration to decrypt it, and no key of the protocol is used for a second purpose.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import DecryptionError, StorageError
from ..wire.aes import GCM_IV_BYTES, GCM_OVERHEAD_BYTES, KEY_BYTES
from .storage import replace_file

_MAGIC = b"ksm-storage-offline-copy/1\n"
_TIME = struct.Struct(">Q")
_HEADER_BYTES = len(_MAGIC) + _TIME.size
_LABEL = b"ksm-storage offline copy v1"
# Clocks of a machine and of its next boot may differ a little; a copy from the future is invalid.
_CLOCK_TOLERANCE_SECONDS = 300
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")


class OfflineCopy:
    """Keep one answer in one file."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_age_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(path)
        self._max_age = max_age_seconds
        self._clock = clock

    def save(self, answer: bytes, app_key: bytes) -> None:
        """Replace the copy, whole or not at all; a failure is logged and not raised.

        The caller gets the answer either way.
        """
        header = _MAGIC + _TIME.pack(int(self._clock()))
        # The key is the same for each save: the nonce is fresh and random, and saves are few.
        iv = os.urandom(GCM_IV_BYTES)
        sealed = AESGCM(_derived(app_key)).encrypt(iv, answer, header)
        try:
            replace_file(self._path, header + iv + sealed)
        except OSError as exc:
            _log.warning("cannot write the offline copy %r: %s", str(self._path), exc.strerror)

    def load(self, app_key: bytes) -> tuple[bytes, datetime]:
        """Return the answer and when it was fetched.

        Raises:
            StorageError: The copy is missing, or older than the age limit.
            DecryptionError: It is altered or belongs to another client device.
        """
        content = self._read()
        if len(content) < _HEADER_BYTES + GCM_OVERHEAD_BYTES or not content.startswith(_MAGIC):
            raise DecryptionError(f"{str(self._path)!r} is not an offline copy")
        header, iv = content[:_HEADER_BYTES], content[_HEADER_BYTES:][:GCM_IV_BYTES]
        try:
            cipher = AESGCM(_derived(app_key))
            answer = cipher.decrypt(iv, content[_HEADER_BYTES + GCM_IV_BYTES :], header)
        except InvalidTag as exc:
            raise DecryptionError(
                f"the offline copy {str(self._path)!r} is altered or of another client device"
            ) from exc
        fetched = _TIME.unpack(header[len(_MAGIC) :])[0]
        self._check_age(fetched)
        return answer, datetime.fromtimestamp(fetched, UTC)

    def remove(self) -> None:
        """Delete the copy, as after a revocation, if there is one."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as exc:
            raise StorageError(
                f"cannot read the offline copy {str(self._path)!r}: {exc.strerror}"
            ) from exc

    def _check_age(self, fetched: int) -> None:
        age = self._clock() - fetched
        if not -_CLOCK_TOLERANCE_SECONDS <= age <= self._max_age:
            raise StorageError(
                f"the offline copy is {age:.0f} seconds old",
                hint=f"the limit is {self._max_age:.0f} seconds",
            )


def _derived(app_key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_LABEL).derive(app_key)
