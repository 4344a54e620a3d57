"""What reaches the medium on systems other than the one that runs the tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ksm_storage.files import replacement

fcntl = pytest.importorskip("fcntl", reason="Windows has no fcntl")


def test_on_macos_the_drives_own_cache_is_flushed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[int, int]] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda *arguments: called.append(arguments))

    with (tmp_path / "file").open("wb") as file:
        replacement.sync_file(file.fileno())

        assert called == [(file.fileno(), 51)]


def test_on_windows_there_is_no_folder_to_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    replacement.sync_folder(str(tmp_path / "gone"))


def test_elsewhere_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replacement.sync_folder(str(tmp_path / "gone"))


def test_elsewhere_a_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    with (tmp_path / "file").open("wb") as file:
        replacement.sync_file(file.fileno())

        assert synced == [file.fileno()]
