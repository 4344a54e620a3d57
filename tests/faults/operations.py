"""What writes a file that exists: saves and changes of its keys, each to be interrupted."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import ksm_storage
from ksm_storage.config.recognise import is_plain
from ksm_storage.envelope.codec import decode
from ksm_storage.files.reading import read_file
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.unit.storage.fixtures import CONFIG, write_plain

MODE = 0o640
NEW = {**CONFIG, "url": "new value" * 20}


class Operation(ABC):
    """Write one file, and tell of what is found there later whether it is the old or the new.

    Attributes:
        path: The file, which holds the old version at first.
        keys: Two keys; the old version is under the first one, or under none.
        old: The bytes of the old version.
        new_mode: The mode of the new version; the old one's is ``MODE``.
    """

    new_mode = MODE

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self.path = path
        self.keys = list(keys)
        self._storage: EncryptedStorage | None = None
        write_plain(path)
        self._prepare()
        path.chmod(MODE)
        self.old = path.read_bytes()

    def restore(self) -> None:
        """Put the old version back, as if it had never been written over."""
        self.path.write_bytes(self.old)
        self.path.chmod(MODE)

    @abstractmethod
    def begun(self) -> Callable[[], object]:
        """Return what writes the new version, everything before it being done."""

    def memory(self) -> dict[str, str] | None:
        """Return what the storage that writes holds, or None if there is no storage."""
        return None if self._storage is None else self._storage.read_storage()

    def version(self) -> str:
        """Return which version the file is, whole and with its mode.

        Raises:
            AssertionError, KsmStorageError: It is neither.
        """
        found = self._version()
        modes = {MODE, self.new_mode} if found == "new" else {MODE}
        assert stat.S_IMODE(self.path.stat().st_mode) in modes
        return found

    def use(self) -> None:
        """Do what the next run does: save once more, and find what was saved."""
        storage = ksm_storage.open_storage(self.path, keys=self._trusted())
        storage.set("bat", "of the next run")
        assert ksm_storage.open_storage(self.path).get("bat") == "of the next run"

    def _prepare(self) -> None:
        ksm_storage.protect(self.path, keys=self.keys[:1])

    def _trusted(self) -> list[str]:
        return self.keys

    def _content(self) -> bytes:
        # As our readers see it: a save in place may have been interrupted.
        return read_file(str(self.path)).content

    @abstractmethod
    def _version(self) -> str: ...


class Set(Operation):
    """Save one more value."""

    def begun(self) -> Callable[[], object]:
        storage = self._storage = ksm_storage.open_storage(self.path)
        return lambda: storage.set("url", NEW["url"])

    def _version(self) -> str:
        return _which(ksm_storage.open_storage(self.path).read_storage(), CONFIG, NEW)


class DeleteAll(Operation):
    """Save a configuration that makes the file shorter."""

    def begun(self) -> Callable[[], object]:
        storage = self._storage = ksm_storage.open_storage(self.path)
        return storage.delete_all

    def _version(self) -> str:
        return _which(ksm_storage.open_storage(self.path).read_storage(), CONFIG, {})


class Rewrap(Operation):
    """Add a second key."""

    def begun(self) -> Callable[[], object]:
        return lambda: ksm_storage.rewrap(self.path, add=self.keys[1:])

    def _version(self) -> str:
        recipients = decode(self._content()).header.recipients
        keys = [str(recipient.key) for recipient in recipients]
        for key in keys:
            assert ksm_storage.open_storage(self.path, keys=[key]).read_storage() == CONFIG
        return _which(keys, self.keys[:1], self.keys)


class Rekey(Operation):
    """Seal under a new DEK."""

    def begun(self) -> Callable[[], object]:
        return lambda: ksm_storage.rekey(self.path)

    def _version(self) -> str:
        assert ksm_storage.open_storage(self.path).read_storage() == CONFIG
        recipients = decode(self._content()).header.recipients
        return "old" if recipients == decode(self.old).header.recipients else "new"


class Protect(Operation):
    """Seal a plain configuration."""

    new_mode = 0o600

    def _prepare(self) -> None:
        """Leave it plain."""

    def _trusted(self) -> list[str]:
        return self.keys[:1]

    def begun(self) -> Callable[[], object]:
        return lambda: ksm_storage.protect(self.path, keys=self._trusted())

    def _version(self) -> str:
        content = self._content()
        if is_plain(content):
            assert content == self.old
            return "old"
        assert ksm_storage.open_storage(self.path).read_storage() == CONFIG
        assert b"keepersecurity" not in content
        return "new"


OPERATIONS = [Set, DeleteAll, Rewrap, Rekey, Protect]


def left_beside(operation: Operation) -> set[str]:
    """Return what lies in the file's folder besides the file."""
    return set(os.listdir(operation.path.parent)) - {operation.path.name}


def _which(found: object, old: object, new: object) -> str:
    assert found in (old, new)
    return "old" if found == old else "new"
