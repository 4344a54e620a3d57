"""The fixtures that these tests share with the ones of the storage."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.storage.fixtures import key, sealed, shared_folder
from tests.unit.storage.planted import counted

__all__ = ["counted", "folder", "key", "sealed", "shared_folder"]

_IN_MEMORY = "/dev/shm"


def in_memory() -> str | None:
    """Return the folder of a file system in memory, or None where there is none."""
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in which nothing lies, in memory where there is such a place.

    These tests save thousands of times, and what a medium keeps is not what they ask.
    """
    with tempfile.TemporaryDirectory(dir=in_memory() or tmp_path, prefix="ksm-storage-") as name:
        yield Path(name)
