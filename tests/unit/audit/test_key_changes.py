"""A change of a file's keys is told with those that open it now and those that do no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.audit.events import FILE_VARIABLE
from tests.cli.command import key_file


@pytest.mark.parametrize("kind", ["rewrapped", "rekeyed"])
def test_a_change_of_keys_is_told(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    old, new = key_file(tmp_path), key_file(other)
    path = tmp_path / "c.json"
    path.write_text('{"hostname": "h"}')
    ksm_storage.protect(path, [old])
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "audit.jsonl"))

    if kind == "rewrapped":
        ksm_storage.rewrap(path, replace={old: new})
    else:
        ksm_storage.rekey(path, keys=[new])

    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [event["event"] for event in told] == ["opened", kind]
    assert (told[1]["keys"], told[1]["instead_of"]) == ([new], [old])
