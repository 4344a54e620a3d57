"""A change of a file's keys is told with those that open it now and those that do no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ksm_storage
from ksm_storage.audit.events import FILE_VARIABLE
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import ContinuityError
from tests.cli.command import key_file


def events(trail: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trail.read_text().splitlines()]


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """Name an audit file, which the test says when to write."""
    return tmp_path / "audit.jsonl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Seal a configuration under a key file beside it."""
    path = tmp_path / "c.json"
    path.write_text('{"hostname": "h"}')
    ksm_storage.protect(path, [key_file(tmp_path)])
    return path


def test_the_protection_of_a_plain_file_is_told(
    trail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, path = key_file(tmp_path), tmp_path / "c.json"
    path.write_text('{"hostname": "h"}')
    monkeypatch.setenv(FILE_VARIABLE, str(trail))

    ksm_storage.protect(path, [key])

    (told,) = events(trail)
    assert (told["event"], told["form"], told["keys"]) == ("protected", "json", [key])
    assert (told["path"], told["revision"]) == (str(path), 1)
    assert told["envelope_id"] == decode(path.read_bytes()).header.envelope_id.hex()


@pytest.mark.parametrize("kind", ["rewrapped", "rekeyed"])
def test_a_change_of_keys_is_told(
    kind: str, path: Path, trail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    header = decode(path.read_bytes()).header
    old, new = str(header.recipients[0].key), key_file(tmp_path / "other")
    monkeypatch.setenv(FILE_VARIABLE, str(trail))

    if kind == "rewrapped":
        ksm_storage.rewrap(path, replace={old: new})
    else:
        ksm_storage.rekey(path, add=[new], remove=[old])

    told = events(trail)
    assert [event["event"] for event in told] == ["opened", kind]
    assert (told[1]["keys"], told[1]["instead_of"]) == ([new], [old])
    assert [event["revision"] for event in told] == [1, 2]
    assert {event["path"] for event in told} == {str(path)}
    assert {event["envelope_id"] for event in told} == {header.envelope_id.hex()}


def test_an_older_revision_that_gets_no_new_dek_is_told_with_its_envelope(
    path: Path, trail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_MEMORY", str(tmp_path / "seen"))
    older = path.read_bytes()
    ksm_storage.open_storage(path).set("hostname", "newer")
    path.write_bytes(older)
    monkeypatch.setenv(FILE_VARIABLE, str(trail))

    with pytest.raises(ContinuityError):
        ksm_storage.rekey(path)

    (told,) = events(trail)
    assert (told["event"], told["error"]) == ("refused", "ContinuityError")
    assert (told["path"], told["revision"]) == (str(path), 1)
    assert told["envelope_id"] == decode(older).header.envelope_id.hex()
