"""A key file beside bare Python."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interleaved import Program, python
from benchmarks.services.service import Service

_BARE = """
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
import os
key = os.urandom(32)
AESGCM(key).decrypt(bytes(12), AESGCM(key).encrypt(bytes(12), b"value", None), None)
"""


@contextmanager
def running(folder: Path) -> Iterator[tuple[Service, Program]]:
    """Make a key file."""
    key = folder / "app.key"
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, os.urandom(32))
    os.close(descriptor)
    service = Service("key-file", "Key file", f"key-file://{key}")
    yield service, python("floor: Python with AESGCM", "floor", _BARE)
