"""Readers beside writers and changes of keys see whole versions, each as new as the last."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.envelope.codec import decode
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from ksm_storage.storage.snapshot import read_envelope
from tests.long_form import LONG_FORM
from tests.races.starting_line import all_at_once
from tests.races.test_writers_at_once import busy

SAVES = 2000 if LONG_FORM else 150
LENGTHS = [0, 9000, 300]
LAST = "last"

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("in_place", [False, True], ids=["renamed", "in place"])
def test_no_reader_sees_a_torn_version_or_an_older_one(
    in_place: bool, sealed: Path, second_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setattr(os, "replace", busy)
    _save(ksm_storage.open_storage(sealed), 0)

    statuses = all_at_once(
        [
            *[partial(_write, sealed)],
            *[partial(_change_keys, sealed, second_key)],
            *[partial(_read_through_one_storage, sealed)] * 2,
            *[partial(_read_anew, sealed)] * 2,
        ]
    )

    assert statuses == [0] * 6
    assert ksm_storage.open_storage(sealed).get("count") == str(SAVES)


def _save(storage: EncryptedStorage, count: int) -> None:
    filler = "x" * LENGTHS[count % len(LENGTHS)]
    storage.save_storage({"count": str(count), "filler": filler, "again": str(count)})


def _write(path: Path) -> None:
    storage = ksm_storage.open_storage(path)
    for count in range(1, SAVES + 1):
        _save(storage, count)
    storage.set(LAST, "x")


def _change_keys(path: Path, second: str) -> None:
    while not ksm_storage.open_storage(path).contains(LAST):
        ksm_storage.rewrap(path, add=[second])
        ksm_storage.rekey(path)
        ksm_storage.rewrap(path, remove=[second])


def _read_through_one_storage(path: Path) -> None:
    storage = ksm_storage.open_storage(path)
    seen = 0
    config: dict[str, str] = {}
    while LAST not in config:
        config = storage.read_storage()
        seen = _checked(config, seen)


def _read_anew(path: Path) -> None:
    seen, revision = 0, 0
    config: dict[str, str] = {}
    while LAST not in config:
        found = decode(read_envelope(str(path)).content).header.revision
        config = ksm_storage.open_storage(path).read_storage()
        assert found >= revision
        seen, revision = _checked(config, seen), found


def _checked(config: dict[str, str], seen: int) -> int:
    count = int(config["count"])
    assert config["again"] == config["count"]
    assert len(config["filler"]) == LENGTHS[count % len(LENGTHS)]
    assert count >= seen
    return count
