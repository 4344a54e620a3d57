"""The built-in keys keep the contract of a plugin, found by their entry points like any other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from ksm_storage.plugin import KeyNotFoundError, KeyStateError, PermissionDeniedError
from ksm_storage.providers.key_file import key_uri_of, path_of
from ksm_storage.testing.conformance import Fault, KeyWrapperConformance


class TestKeyFile(KeyWrapperConformance):
    provider = "key-file"
    faults: ClassVar[Mapping[str, Fault]] = {
        "missing": Fault(KeyNotFoundError),
        "a folder": Fault(KeyStateError, has_cause=False),
        "one byte short": Fault(KeyStateError, has_cause=False),
        "readable by others": Fault(PermissionDeniedError, has_cause=False),
    }

    @pytest.fixture
    def key_id(self, tmp_path: Path) -> str:
        return key_file(tmp_path / "my keys" / "one.key")

    @pytest.fixture
    def other_key_id(self, tmp_path: Path) -> str:
        return key_file(tmp_path / "my keys" / "two.key")

    @pytest.fixture
    def provoke(self, key_id: str) -> Callable[[str], AbstractContextManager[None]]:
        return lambda fault: spoilt(Path(path_of(key_id)), fault)


@contextmanager
def spoilt(path: Path, fault: str) -> Iterator[None]:
    kept = path.with_name("kept")
    path.rename(kept)
    if fault == "a folder":
        path.mkdir()
    elif fault != "missing":
        path.touch(mode=0o600)
        path.write_bytes(bytes(31 if fault == "one byte short" else 32))
        path.chmod(0o604 if fault == "readable by others" else 0o600)
    try:
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        kept.replace(path)


def key_file(path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return key_uri_of(path).partition("://")[2]
