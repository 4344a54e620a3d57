"""What reaches the medium on systems other than the one that runs the tests."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from ksm_storage.files import new_version

fcntl = pytest.importorskip("fcntl", reason="Windows has no fcntl")
forked = pytest.importorskip("tests.unit.storage.forked")


def test_on_macos_the_drives_own_cache_is_flushed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[int, int]] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda *arguments: called.append(arguments))

    with (tmp_path / "file").open("wb") as file:
        new_version.sync_file(file.fileno())

        assert called == [(file.fileno(), 51)]


def test_on_windows_there_is_no_folder_to_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    new_version.sync_folder(str(tmp_path / "gone"))


def test_elsewhere_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        new_version.sync_folder(str(tmp_path / "gone"))


def test_elsewhere_a_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    with (tmp_path / "file").open("wb") as file:
        new_version.sync_file(file.fileno())

        assert synced == [file.fileno()]


class Medium:
    """An ``os.fsync`` that waits until it may end, and notes when it began and ended."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.syncs = 0
        self.error: OSError | None = None

    def fsync(self, _descriptor: int) -> None:
        self.syncs += 1
        self.begun.release()
        assert self.may_end.acquire(timeout=10)
        if self.error is not None:
            raise self.error


@pytest.fixture
def medium(monkeypatch: pytest.MonkeyPatch) -> Medium:
    medium = Medium()
    monkeypatch.setattr(os, "fsync", medium.fsync)
    return medium


def started(folder: Path, ended: list[OSError | None]) -> threading.Thread:
    def sync() -> None:
        try:
            new_version.sync_folder(str(folder))
        except OSError as exc:
            ended.append(exc)
        else:
            ended.append(None)

    thread = threading.Thread(target=sync)
    thread.start()
    return thread


# So many that some of them are there before the first sync ends, however busy the machine is.
OTHERS = 30


def wait_for(folder: Path, medium: Medium, ended: list[OSError | None]) -> list[threading.Thread]:
    """Start a sync, and others while it runs."""
    first = started(folder, ended)
    assert medium.begun.acquire(timeout=10)
    return [first, *(started(folder, ended) for _ in range(OTHERS))]


def test_who_comes_while_a_folder_is_synced_waits_for_one_sync_that_begins_later(
    tmp_path: Path, medium: Medium
) -> None:
    ended: list[OSError | None] = []
    threads = wait_for(tmp_path, medium, ended)

    medium.may_end.release()
    threads[0].join(10)
    assert medium.begun.acquire(timeout=10)
    done_before_the_second = list(ended)
    # Whoever did not reach the second one in time gets a third.
    for _ in range(OTHERS):
        medium.may_end.release()
    for thread in threads:
        thread.join(10)

    assert done_before_the_second == [None]
    assert ended == [None] * (1 + OTHERS)
    assert 2 <= medium.syncs <= OTHERS


def test_a_sync_that_fails_is_an_error_for_each_who_waited_for_it(
    tmp_path: Path, medium: Medium
) -> None:
    ended: list[OSError | None] = []
    medium.error = OSError(5, "Input/output error")
    threads = wait_for(tmp_path, medium, ended)

    for _ in threads:
        medium.may_end.release()
    for thread in threads:
        thread.join(10)

    assert [exc and exc.errno for exc in ended] == [5] * len(threads)
    assert len({id(exc) for exc in ended}) == len(threads)


def test_another_folder_does_not_wait(tmp_path: Path, medium: Medium) -> None:
    ended: list[OSError | None] = []
    # Enough that they cannot all share a turn.
    folders = [tmp_path / str(number) for number in range(40)]
    for folder in folders:
        folder.mkdir()
    threads = [started(folder, ended) for folder in folders]

    both = [medium.begun.acquire(timeout=10) for _ in range(2)]
    for _ in folders:
        medium.may_end.release()
    for thread in threads:
        thread.join(10)

    assert both == [True, True]
    assert ended == [None] * 40


def test_a_process_that_is_forked_during_a_sync_does_not_wait_for_it(
    tmp_path: Path, medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[OSError | None] = []
    thread = started(tmp_path, ended)
    assert medium.begun.acquire(timeout=10)

    def sync() -> None:
        # Were it to wait, it would for ever.
        signal.alarm(10)
        monkeypatch.setattr(os, "fsync", lambda _: None)
        new_version.sync_folder(str(tmp_path))

    status = forked.run(sync)
    medium.may_end.release()
    thread.join(10)

    assert (status, ended) == (0, [None])


def test_a_signal_handler_may_sync_the_folder_that_its_thread_is_syncing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 1:
            # As a handler that saves a file would, between two steps of the same thread.
            new_version.sync_folder(str(tmp_path))

    monkeypatch.setattr(os, "fsync", fsync)
    # Daemon: were it to wait for itself, it would for ever.
    thread = threading.Thread(target=new_version.sync_folder, args=(str(tmp_path),), daemon=True)

    thread.start()
    thread.join(10)

    assert not thread.is_alive()
    assert len(synced) == 2
