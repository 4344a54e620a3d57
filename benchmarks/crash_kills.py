"""Kill a process while it saves, and check that its configuration is still there."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import stat
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from keeper_secrets_manager_core.configkeys import ConfigKeys

from benchmarks.crash_packages import Package
from benchmarks.services.service import CONFIG
from tests.faults import traced
from tests.unit.storage import forked

_SAVES_LONG = 3
# The files of the official classes are made anew from this one where they were lost.
_BACKUP = "backup"


class Losses(NamedTuple):
    """Hold the results of the kills of one package.

    Attributes:
        random: Configurations that were lost by kills at random moments.
        calls: The system calls of one save; 0 where this system allows no trace.
        at_calls: Those at which a kill lost the configuration.
        left: Files that lay beside it after a kill, at most at one time.
        mode: The mode of a file of mode 0600 after it was saved.
    """

    random: int
    calls: int
    at_calls: int
    left: int
    mode: int


def measure(package: Package, kills: int) -> Losses:
    """Kill a saving process at that many random moments, and at each system call of one save."""
    killed = _Killed(package)
    for _ in range(kills):
        killed.at_a_random_moment()
    by_chance = killed.lost
    calls = 0
    while traced.is_allowed() and killed.before(calls):
        calls += 1
    return Losses(by_chance, calls, killed.lost - by_chance, killed.left, killed.mode)


class _Killed:
    def __init__(self, package: Package) -> None:
        self._open, self._path = package.open, package.path
        self._aside = package.path.parent.parent / f"{package.path.parent.name}-aside"
        self._aside.mkdir()
        self.lost = self.left = 0
        # Each process opens the file itself: no client of a key service outlives a fork.
        assert forked.run(lambda: _save(self._open(self._path), 0)) == 0
        self.mode = stat.S_IMODE(self._path.stat().st_mode)
        shutil.copy(self._path, self._aside / _BACKUP)

    def at_a_random_moment(self) -> None:
        reading, writing = os.pipe()

        def save_for_ever() -> None:
            storage = self._open(self._path)
            for number in itertools.count(1):
                _save(storage, number)
                os.write(writing, b"x")

        process = forked.start(save_for_ever)
        os.close(writing)
        os.read(reading, 1)
        started = time.monotonic()
        os.read(reading, 1)
        one_save = time.monotonic() - started
        # The kill is to meet any moment of a save, so that none is left out for good.
        time.sleep(random.uniform(0, _SAVES_LONG * one_save))
        os.kill(process, signal.SIGKILL)
        forked.status_of(process)
        os.close(reading)
        self._look()

    def before(self, call: int) -> bool:
        opened: list[Any] = []
        went_on = traced.killed_before(
            lambda: _save(opened[0], 1),
            call,
            untraced=lambda: opened.append(self._open(self._path)),
        )
        if went_on:
            self._look()
        return went_on

    def _look(self) -> None:
        self.left = max(self.left, len(os.listdir(self._path.parent)) - 1)
        # A copy, because an official class writes when it finds an empty file.
        copy = self._aside / self._path.name
        shutil.copy(self._path, copy)
        if forked.run(_quietly(lambda: _check(self._open(copy)))):
            self.lost += 1
            shutil.copy(self._aside / _BACKUP, self._path)


def _save(storage: Any, number: int) -> None:
    storage.set(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID, f"{number}/{random.random()}")


def _check(storage: Any) -> None:
    for key in (ConfigKeys.KEY_HOSTNAME, ConfigKeys.KEY_CLIENT_ID, ConfigKeys.KEY_PRIVATE_KEY):
        if storage.get(key) != CONFIG[key.value]:
            os._exit(1)


def _quietly(work: Callable[[], object]) -> Callable[[], object]:
    def quiet() -> None:
        # What a class says of a file that it cannot read is no part of the table.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        work()

    return quiet
