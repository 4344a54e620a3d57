"""Real signals at random moments, whose handler raises."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import PluginContractError
from ksm_storage.process import no_core_dumps
from ksm_storage.providers.key_file import key_uri_of, write_key_file
from ksm_storage.storage import snapshot
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.attacks.claims import the_attacker
from tests.long_form import LONG_FORM

SIGNALS = 50_000 if LONG_FORM else 3000
# Of what takes milliseconds: about two seconds for each test.
SAVES = 20_000 if LONG_FORM else 250

pytestmark = pytest.mark.timeout(900 if LONG_FORM else 60)


class SignalledError(Exception):
    """Raised by the handler, as an application's time-out is."""


def interrupted(
    work: Callable[[], object], *, signals: int = SIGNALS, longest: float = 4e-4
) -> int:
    """Do some work again and again, and interrupt it at random moments; return how often.

    An error of the contract counts: the core cannot tell the handler's exception from a plugin's,
    and keeps it as the cause.
    """

    def interrupt(*_: object) -> None:
        raise SignalledError

    chance = random.Random(1)
    before = signal.signal(signal.SIGALRM, interrupt)
    count = 0
    try:
        while count < signals:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, longest))
                while True:
                    work()
            except SignalledError:
                count += 1
            except PluginContractError as exc:
                if not isinstance(exc.__cause__, SignalledError):
                    raise
                count += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return count


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    """Let core files be written, as far as this machine does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield hard, hard
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.fixture
def storage(tmp_path: Path) -> EncryptedStorage:
    """Give a sealed file in a folder without anything else."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "config").mkdir()
    key = key_uri_of(write_key_file(tmp_path / "keys/app.key"))
    opened = ksm_storage.open_storage(tmp_path / "config/c.json", keys=[key])
    opened.set("clientId", "before")
    return opened


def descriptors() -> list[tuple[str, str]]:
    """Return what is open, by number and name, but sockets: a save opens none, and the servers of
    other tests close theirs when their threads end.
    """
    gc.collect()
    folder = "/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"
    found = [(number, _name_of(f"{folder}/{number}")) for number in os.listdir(folder)]
    return sorted((number, name) for number, name in found if not name.startswith("socket:"))


def _name_of(descriptor: str) -> str:
    try:
        return os.readlink(descriptor)
    except OSError:
        # The listing's own, which is closed; or a system that has no names for them.
        return "socket:" if not os.path.lexists(descriptor) else ""


def duration(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(10):
        work()
    return (time.perf_counter() - start) / 10


@the_attacker("interrupts the process with signals whose handlers raise")
def test_an_interrupted_opening_leaves_nobody_waiting() -> None:
    count = interrupted(lambda: snapshot.open_once("bytes", lambda: 1))

    assert count == SIGNALS
    assert all(not each.openings for each in snapshot._running_by_process.values())


@the_attacker("interrupts the process with signals whose handlers raise")
def test_an_interrupted_decryption_restores_the_limit_for_core_files(
    limit: tuple[int, int],
) -> None:
    def work() -> None:
        with no_core_dumps():
            pass

    interrupted(work)

    assert resource.getrlimit(resource.RLIMIT_CORE) == limit


@the_attacker("interrupts the process with signals whose handlers raise")
def test_an_interrupted_save_leaks_no_descriptor_lock_or_temporary_file(
    storage: EncryptedStorage, tmp_path: Path
) -> None:
    number = iter(range(10**9))

    def save() -> None:
        storage.set("clientId", str(next(number)))

    longest = 1.2 * duration(save)
    before = descriptors()
    interrupted(save, signals=SAVES, longest=longest)

    assert descriptors() == before
    storage.set("clientId", "after")
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["c.json"]
    assert ksm_storage.open_storage(tmp_path / "config/c.json").get("clientId") == "after"


@the_attacker("interrupts the process with signals whose handlers raise")
def test_an_interrupted_start_leaks_no_descriptor_and_restores_the_limit(
    storage: EncryptedStorage, limit: tuple[int, int], tmp_path: Path
) -> None:
    def start() -> None:
        ksm_storage.open_storage(tmp_path / "config/c.json").get("clientId")

    longest = 1.2 * duration(start)
    before = descriptors()
    interrupted(start, signals=SAVES, longest=longest)

    assert descriptors() == before
    assert resource.getrlimit(resource.RLIMIT_CORE) == limit
    start()
