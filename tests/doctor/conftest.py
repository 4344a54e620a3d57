"""A sealed file under a key file, and what doctor says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.providers.key_file import key_uri_of, write_key_file


class Patient(NamedTuple):
    """Hold a sealed file and its key file."""

    path: Path
    key_file: Path


class Findings(NamedTuple):
    """Hold what doctor found, and its exit code."""

    code: int
    files: list[dict[str, Any]]
    keys: list[dict[str, Any]]

    @property
    def problems(self) -> list[str]:
        """All errors' classes, in order."""
        return [p["error"] for each in [*self.files, *self.keys] for p in each["problems"]]

    @property
    def notes(self) -> str:
        """All notes in one text."""
        return "\n".join(note for each in [*self.files, *self.keys] for note in each["notes"])

    def missing(self) -> list[str]:
        """Return the permissions that are missing."""
        return [
            probe["permission"]
            for key in self.keys
            for probe in key["permissions"]
            if probe["granted"] is False
        ]


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    folder = tmp_path / "app"
    folder.mkdir()
    key_file = tmp_path / "app.key"
    write_key_file(str(key_file))
    path = folder / "c.json"
    path.write_text('{"clientId": "CANARY", "appKey": "CANARY"}')
    ksm_storage.protect(path, keys=[key_uri_of(key_file)])
    return Patient(path, key_file)


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[..., Findings]:
    def doctor(*arguments: object) -> Findings:
        capsys.readouterr()
        code = main(["doctor", "--json", *map(str, arguments)])
        printed = capsys.readouterr()
        assert "CANARY" not in printed.out + printed.err
        found = json.loads(printed.out)
        return Findings(code, found["files"], found["keys"])

    return doctor
