"""A file that is wrapped anew follows its keys to their newest version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.keys import discovery
from ksm_storage.plugin import hookimpl
from ksm_storage.testing.memory_kek import ALGORITHM
from tests.unit.storage.fixtures import CONFIG
from tests.unit.storage.planted import Counted

# Two versions of one key, which the alias names without a version.
OLD, NEW = "counted://one", "counted://two"


@pytest.fixture
def path(folder: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seal the configuration under a version of a key that is rotated afterwards."""
    ksm_storage.open_storage(folder / "c", keys=[OLD]).save_storage(CONFIG)

    @hookimpl
    def key_covers(trusted: str, key_id: str) -> bool:
        return trusted == "alias"

    @hookimpl
    def newest_version(key_id: str, algorithm: str) -> str | None:
        return "alias" if key_id in ("one", "two") and algorithm == ALGORITHM else None

    module: Any = sys.modules["planted_counted_plugin"]
    module.service.aliases["alias"] = "two"
    monkeypatch.setattr(module, "key_covers", key_covers, raising=False)
    monkeypatch.setattr(module, "newest_version", newest_version, raising=False)
    monkeypatch.setattr(discovery, "_plugins", {})
    return folder / "c"


def test_a_rekey_wraps_by_the_newest_version(path: Path) -> None:
    done = ksm_storage.rekey(path)

    assert (done.keys, done.removed) == ((NEW,), (OLD,))
    assert ksm_storage.open_storage(path, keys=[NEW]).read_storage() == CONFIG


def test_a_rekey_by_a_named_version_wraps_by_that_one(path: Path) -> None:
    assert ksm_storage.rekey(path, add=[OLD]).keys == (OLD,)


def test_a_key_that_replaces_itself_wraps_by_its_newest_version(path: Path) -> None:
    done = ksm_storage.rewrap(path, replace={OLD: OLD})

    assert (done.keys, done.removed) == ((NEW,), (OLD,))
    assert ksm_storage.open_storage(path, keys=[NEW]).read_storage() == CONFIG


def test_another_version_replaces_as_it_is_named(path: Path) -> None:
    ksm_storage.rewrap(path, replace={OLD: NEW})

    assert ksm_storage.rewrap(path, replace={NEW: OLD}).keys == (OLD,)
