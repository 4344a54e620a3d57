"""A file that is not there yet: what is proved before the first change, and what is left behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.envelope.codec import decode
from ksm_storage.errors import (
    EnvelopeError,
    KsmStorageError,
    PluginNotFoundError,
    SettingsError,
    StorageError,
    UnavailableError,
)
from ksm_storage.files.replacement import create_file
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, new_key, write_plain
from tests.unit.storage.planted import Counted


def test_a_missing_file_without_keys_is_refused_with_what_to_do(folder: Path) -> None:
    with pytest.raises(StorageError, match="does not exist") as caught:
        ksm_storage.open_storage(folder / "config")

    assert "keys=" in str(caught.value.hint)
    assert names_in(folder) == []


def test_the_dek_is_wrapped_and_unwrapped_before_the_first_set(
    folder: Path, counted: Counted
) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=["counted://one", "counted://two"])

    made = [("wrap", "one"), ("wrap", "two"), ("unwrap", "one"), ("unwrap", "two")]
    assert counted.calls == made
    assert names_in(folder) == []

    storage.set("hostname", "h")
    storage.set("clientId", "c")

    assert counted.calls == made
    assert names_in(folder) == ["config"]


def test_a_storage_that_was_not_written_yet_is_empty(folder: Path, key: str) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=[key])

    assert storage.is_empty()
    assert storage.get("hostname") is None
    assert "not yet written" in repr(storage)


def test_a_storage_is_shown_with_its_revision_and_its_keys(folder: Path, counted: Counted) -> None:
    path = folder / "config"
    storage = ksm_storage.open_storage(path, keys=["counted://one", "counted://two"])
    storage.save_storage(CONFIG)

    shown = repr(storage)

    assert shown == f"<SealedFile {str(path)!r}, revision 1, under counted://one, counted://two>"


def test_a_key_service_that_fails_leaves_nothing_behind(folder: Path, counted: Counted) -> None:
    counted.fail_with("Unavailable")

    with pytest.raises(UnavailableError):
        ksm_storage.open_storage(folder / "config", keys=["counted://one"])

    assert names_in(folder) == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["key-fil:///x"], PluginNotFoundError),
        (["no key"], SettingsError),
        ([], SettingsError),
        ([None], SettingsError),
        (["key-file://relative"], SettingsError),
    ],
)
def test_keys_that_cannot_be_used_leave_nothing_behind(
    keys: list[str], expected: type[KsmStorageError], folder: Path
) -> None:
    with pytest.raises(expected):
        ksm_storage.open_storage(folder / "config", keys=keys)

    assert names_in(folder) == []


def test_the_same_key_twice_is_refused(folder: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="are the same key"):
        ksm_storage.open_storage(folder / "config", keys=[key, key])


@forked.root_only
def test_an_unwritable_folder_is_found_before_the_key_service_is_called(
    shared_folder: Path, counted: Counted
) -> None:
    def work() -> None:
        with pytest.raises(StorageError, match=r"cannot write .*Permission denied") as caught:
            ksm_storage.open_storage(shared_folder / "config", keys=["counted://one"])

        assert caught.value.hint
        assert counted.calls == []

    assert forked.run_as_nobody(work) == 0
    assert names_in(shared_folder) == []


def test_a_missing_folder_is_found_before_the_key_service_is_called(
    folder: Path, counted: Counted
) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        ksm_storage.open_storage(folder / "missing/config", keys=["counted://one"])

    assert counted.calls == []


def test_a_read_only_file_system_is_found_before_the_key_service_is_called(
    folder: Path, counted: Counted
) -> None:
    def work() -> None:
        with pytest.raises(StorageError, match="Read-only file system"):
            ksm_storage.open_storage(folder / "config", keys=["counted://one"])

        assert counted.calls == []

    assert forked.run_with_mount(["-t", "tmpfs", "-o", "ro", "none", str(folder)], work) == 0


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o377], ids=oct)
def test_a_new_file_is_readable_by_its_owner_alone_whatever_the_umask(
    umask: int, folder: Path, key: str
) -> None:
    path = folder / "config"

    def work() -> None:
        os.umask(umask)
        ksm_storage.open_storage(path, keys=[key]).set("hostname", "h")

    assert forked.run(work) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_has_no_profile(folder: Path, key: str) -> None:
    with pytest.raises(StorageError, match="has no profile 'production'"):
        ksm_storage.open_storage(folder / "config", keys=[key], profile="production")


@pytest.mark.parametrize("path", ["", "with\0nul"])
def test_a_path_that_no_file_can_have_is_refused(
    path: str, key: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    if path:
        with pytest.raises(StorageError):
            ksm_storage.open_storage(path, keys=[key])
    with pytest.raises(StorageError, match="empty or contains a NUL byte"):
        ksm_storage.protect(path, keys=[key])


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_regular_file_is_refused(
    make: Callable[[Path], None], folder: Path, key: str
) -> None:
    make(folder / "config")

    with pytest.raises(StorageError, match=r"not a regular file|Is a directory"):
        ksm_storage.open_storage(folder / "config", keys=[key])


@pytest.mark.parametrize("keys", [True, False], ids=["keys", "no keys"])
def test_a_zero_length_file_is_an_interrupted_write(keys: bool, folder: Path, key: str) -> None:
    (folder / "config").touch()

    with pytest.raises(StorageError, match="is empty"):
        ksm_storage.open_storage(folder / "config", keys=[key] if keys else None)

    assert (folder / "config").read_bytes() == b""


def test_two_that_begin_the_same_file_lose_nothing(folder: Path, key: str, tmp_path: Path) -> None:
    second = new_key(tmp_path / "keys/second.key")
    one = ksm_storage.open_storage(folder / "config", keys=[key])
    two = ksm_storage.open_storage(folder / "config", keys=[key, second])

    one.set("url", "1")
    two.set("bat", "2")

    assert one.read_storage() == two.read_storage() == {"url": "1", "bat": "2"}


def test_one_that_finds_another_key_in_the_file_it_began_refuses_it(
    folder: Path, key: str, tmp_path: Path
) -> None:
    second = new_key(tmp_path / "keys/second.key")
    one = ksm_storage.open_storage(folder / "config", keys=[key])
    ksm_storage.open_storage(folder / "config", keys=[second]).set("url", "theirs")

    with pytest.raises(KsmStorageError, match="none of the trusted keys"):
        one.set("url", "mine")

    assert ksm_storage.open_storage(folder / "config").get("url") == "theirs"


def test_a_context_is_bound_to_a_new_file(folder: Path, key: str) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=[key], context={"env": "prod"})

    storage.set("hostname", "h")

    assert decode((folder / "config").read_bytes()).header.context == {"env": "prod"}


def test_without_a_path_the_official_name_in_the_working_folder_is_used(
    folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)

    ksm_storage.open_storage(keys=[key]).set("hostname", "h")

    assert names_in(folder) == ["client-config.json"]


def test_the_working_folder_may_change_after_opening(
    folder: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    storage = ksm_storage.open_storage("config", keys=[key])
    monkeypatch.chdir(tmp_path)

    storage.set("hostname", "h")

    assert names_in(folder) == ["config"]


def test_the_variable_of_the_official_sdk_names_the_file(
    folder: Path, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("KSM_CONFIG_FILE", str(sealed))

    assert ksm_storage.open_storage().read_storage() == CONFIG
    assert names_in(tmp_path / "elsewhere") == []


def test_a_named_path_goes_before_the_variables(
    folder: Path, sealed: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", str(write_plain(folder / "other")))
    monkeypatch.setenv("KSM_STORAGE_CONFIG", "rubbish")

    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG


def test_a_plain_file_that_a_variable_names_is_refused_without_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", str(write_plain(folder / "plain")))

    with pytest.raises(EnvelopeError, match="plain configuration"):
        ksm_storage.open_storage()


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_is_created_with_the_mode_that_is_asked_for(mode: int, folder: Path) -> None:
    path = folder / "new"

    create_file(str(path), b"content", mode=mode)

    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"content"
