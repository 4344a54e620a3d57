"""A new version beside a file: its name, and what is left of it afterwards."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ksm_storage.errors import StorageError
from ksm_storage.files import replacement as replacing
from ksm_storage.files.replacement import Replacement


@pytest.fixture
def target(folder: Path) -> Path:
    path = folder / "config"
    path.write_bytes(b"old")
    return path


def prepared(target: Path) -> Replacement:
    return Replacement.of(str(target), b"new", mode=None)


def test_each_target_has_a_temporary_name_of_its_own(target: Path) -> None:
    with prepared(target) as first, prepared(target.with_name("other")) as second:
        assert first.path == str(target.with_name(".config.ksm-tmp"))
        assert second.path == str(target.with_name(".other.ksm-tmp"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_or_a_device_is_never_replaced(target: Path) -> None:
    target.unlink(missing_ok=True)
    os.mkfifo(target)

    for write in (replacing.replace_file, replacing.create_file):
        with pytest.raises(StorageError, match="not a regular file"):
            write(str(target), b"new", mode=0o600)

    assert target.is_fifo()
    assert list(target.parent.iterdir()) == [target]


def test_what_was_not_committed_is_removed(target: Path) -> None:
    with prepared(target) as replacement:
        assert Path(replacement.path).read_bytes() == b"new"

    assert not Path(replacement.path).exists()
    assert target.read_bytes() == b"old"


def test_once_it_is_committed_nothing_of_its_name_is_removed(target: Path) -> None:
    with prepared(target) as replacement:
        replacement.commit()
        Path(replacement.path).write_bytes(b"of the next writer")

    assert target.read_bytes() == b"new"
    assert Path(replacement.path).read_bytes() == b"of the next writer"


def test_one_that_somebody_else_removed_is_given_up_without_an_error(target: Path) -> None:
    with prepared(target) as replacement:
        Path(replacement.path).unlink()

    assert target.read_bytes() == b"old"


def test_a_folder_that_fails_to_sync_is_an_error_of_a_save_that_is_done(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(replacing, "sync_folder", fail)

    with pytest.raises(StorageError, match="folder cannot be synced: Input/output"):
        replacing.replace_file(str(target), b"new")

    assert target.read_bytes() == b"new"


def test_a_folder_that_cannot_be_synced_does_not_undo_the_save(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: str) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(replacing, "sync_folder", refuse)

    with prepared(target) as replacement:
        replacement.commit()

    assert target.read_bytes() == b"new"


def test_the_content_is_its_owners_alone_from_its_first_byte_on(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.chmod(0o644)
    modes: list[int] = []

    def noting(descriptor: int, content: bytes) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        os.write(descriptor, content)

    monkeypatch.setattr(replacing, "_write_all", noting)
    before = os.umask(0)
    try:
        with prepared(target):
            pass
        # A folder lies at the usual name, so that another one is taken.
        target.with_name(".config.ksm-tmp").mkdir()
        with prepared(target) as second:
            assert Path(second.path).parent == target.parent
    finally:
        os.umask(before)

    assert modes == [0o600, 0o600]


def test_a_file_that_is_new_is_its_owners_alone_where_no_mode_is_asked_for(folder: Path) -> None:
    with Replacement.of(str(folder / "new"), b"x", mode=None) as replacement:
        assert stat.S_IMODE(os.stat(replacement.path).st_mode) == 0o600
