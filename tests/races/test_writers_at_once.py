"""Many processes with many threads write one file, some are killed, and nothing is undone."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

import ksm_storage
from tests.long_form import LONG_FORM
from tests.races.starting_line import StartingLine, all_at_once
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in
from tests.unit.storage.test_threads_and_forks import at_once

PROCESSES, THREADS, VALUES = 8, 8, 10 if LONG_FORM else 2
KILLED, SPARED, ROUNDS = 6, 3, 20 if LONG_FORM else 3

pytestmark = pytest.mark.timeout(600)
ways = pytest.mark.parametrize("in_place", [False, True], ids=["renamed", "in place"])


@ways
@pytest.mark.parametrize("storages", [1, THREADS], ids=["shared storage", "a storage each"])
def test_what_8_processes_with_8_threads_set_is_all_there(
    storages: int, in_place: bool, sealed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setattr(os, "replace", busy)

    def work(process: int) -> None:
        opened = [ksm_storage.open_storage(sealed) for _ in range(storages)]

        def write(thread: int) -> None:
            for value in range(VALUES):
                name = f"{process}/{thread}/{value}"
                assert opened[thread % storages].set(name, name)[name] == name
                assert opened[thread % storages].get(name) == name

        at_once(write, threads=THREADS)

    assert all_at_once([partial(work, process) for process in range(PROCESSES)]) == [0] * PROCESSES

    names = {
        f"{process}/{thread}/{value}"
        for process in range(PROCESSES)
        for thread in range(THREADS)
        for value in range(VALUES)
    }
    config = ksm_storage.open_storage(sealed).read_storage()
    assert config == CONFIG | {name: name for name in names}
    assert names_in(folder) == ["client-config.json"]
    assert f"revision {1 + len(names)}," in repr(ksm_storage.open_storage(sealed))


@ways
def test_writers_go_on_while_others_are_killed(
    in_place: bool, sealed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setattr(os, "replace", busy)
    for turn in range(ROUNDS):
        line = StartingLine()
        doomed = [line.add(partial(_set_for_ever, sealed)) for _ in range(KILLED)]
        spared = [line.add(partial(_set_some, sealed, f"{turn}/{n}")) for n in range(SPARED)]
        line.go()

        for process in doomed:
            time.sleep(random.uniform(0, 0.03))
            os.kill(process, signal.SIGKILL)

        assert [forked.status_of(process) for process in doomed] == [-signal.SIGKILL] * KILLED
        assert [forked.status_of(process) for process in spared] == [0] * SPARED

    storage = ksm_storage.open_storage(sealed)
    storage.delete("doomed")
    names = {f"{turn}/{n}/{v}" for turn in range(ROUNDS) for n in range(SPARED) for v in range(10)}
    assert storage.read_storage() == CONFIG | dict.fromkeys(names, "x")
    assert names_in(folder) == ["client-config.json"]


def test_a_holder_that_is_stopped_and_then_killed_lets_the_others_go_on(sealed: Path) -> None:
    line = StartingLine()
    holder = line.add(partial(_set_for_ever, sealed))
    line.go()
    before = sealed.stat().st_ino
    while sealed.stat().st_ino == before:
        os.sched_yield()
    os.kill(holder, signal.SIGSTOP)
    waiting = forked.start(partial(_set_some, sealed, "waiting"))

    os.kill(holder, signal.SIGKILL)

    assert forked.status_of(holder) == -signal.SIGKILL
    assert forked.status_of(waiting) == 0
    assert ksm_storage.open_storage(sealed).get("waiting/9") == "x"


def busy(source: object, target: object) -> None:
    """Fail as a rename over a mount point does."""
    raise OSError(16, "Device or resource busy")


def _set_for_ever(path: Path) -> None:
    storage = ksm_storage.open_storage(path)
    while True:
        storage.set("doomed", str(random.random()))


def _set_some(path: Path, prefix: str) -> None:
    storage = ksm_storage.open_storage(path)
    for value in range(10):
        storage.set(f"{prefix}/{value}", "x")
