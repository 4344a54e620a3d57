"""A change of a file's profiles is told like any other save."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ksm_storage.audit.events import FILE_VARIABLE
from ksm_storage.config.document import Document
from ksm_storage.storage.open_policy import OpenPolicy
from ksm_storage.storage.profiles import (
    change_document,
    create_document,
    read_document,
    with_new_profile,
)
from tests.cli.command import key_file


def test_making_changing_and_reading_profiles_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "audit.jsonl"))
    path = tmp_path / "keeper.ini"
    trust = OpenPolicy.from_args([key_file(tmp_path)], None, None)

    create_document(path, trust, Document({"prod": {}}))
    change_document(path, trust, lambda document: with_new_profile(document, "test", {}))
    read_document(path, trust)

    told = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [event["event"] for event in told] == ["saved", "opened", "saved", "opened"]
    assert [event["revision"] for event in told] == [1, 1, 2, 2]
    assert {event["path"] for event in told} == {str(path)}
