"""The inputs from which fuzzing starts: the vectors and each plain form."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from tests.vectors.vector_files import all_vectors

MAX_SEED = 4096
_JSON = b'{"hostname": "keepersecurity.com", "clientId": "Q2xpZW50"}'
_INI = b"[_config]\nactive_profile = a\n\n[a]\nclientid = b\nurl = c\n"


def seeds() -> Iterator[bytes]:
    """Yield the seeds; long ones would only slow the search down."""
    yield from (vector.raw for vector in all_vectors() if len(vector.raw) <= MAX_SEED)
    yield from (_JSON, base64.b64encode(_JSON), b"\xef\xbb\xbf" + _JSON, _INI)
    yield b'{"profiles": {"a": {"url": "b"}}, "settings": {"active_profile": "a"}}'
    yield _in_place(_JSON, _INI)


def write_seeds(folder: Path) -> None:
    """Write each seed into a file of its own."""
    for raw in seeds():
        (folder / hashlib.sha256(raw).hexdigest()[:16]).write_bytes(raw)


def _in_place(old: bytes, new: bytes) -> bytes:
    """Return a file in which a save in place stopped before its end."""
    digest = hashlib.sha256(new).hexdigest()
    return old + bytes(8) + new + f"\nksm-storage journal {len(new):010d} {digest}\n".encode()
