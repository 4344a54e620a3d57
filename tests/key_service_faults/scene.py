"""A folder with a sealed and a plain file, and what must be as before after a failure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import ksm_storage
from tests.key_service_faults.service import FaultyService
from tests.unit.storage.fixtures import CONFIG, write_plain


class Snapshot(NamedTuple):
    """Hold what a folder holds: for each name the mode and the bytes."""

    files: tuple[tuple[str, int, bytes], ...]

    @classmethod
    def of(cls, folder: Path) -> Snapshot:
        """Look at all that lies in the folder."""
        paths = sorted(folder.iterdir())
        return cls(tuple((p.name, p.stat().st_mode, p.read_bytes()) for p in paths))


class Scene:
    """Hold the files of one test, and an application that had opened the sealed one before."""

    def __init__(self, folder: Path, service: FaultyService, sealed: bytes) -> None:
        self.folder, self.service = folder, service
        self.sealed, self.new = folder / "sealed", folder / "new"
        self.plain = write_plain(folder / "plain.json")
        self.sealed.write_bytes(sealed)
        os.chmod(self.sealed, 0o600)
        self.application = ksm_storage.open_storage(self.sealed)

    def assert_nothing_lost(self) -> None:
        """Assert that the application, and one that starts now, see what was stored."""
        assert self.application.read_storage() == CONFIG
        assert ksm_storage.open_storage(self.sealed).read_storage() == CONFIG
