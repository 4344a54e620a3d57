"""The lock of a file: who holds it, who waits, and for how long."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import DecryptionError, KsmStorageError, StorageError
from ksm_storage.files import lock
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, new_key, write_plain

Locked = Callable[..., AbstractContextManager[None]]

both = pytest.mark.parametrize(
    "locked", [lock.locked, lock.locked_by_sidecar], ids=["flock", "sidecar"]
)


@pytest.fixture
def short_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a lock for long."""
    monkeypatch.setattr(lock, "LOCK_TIMEOUT_SECONDS", 0.05)


@pytest.fixture
def holder(sealed: Path) -> Iterator[int]:
    """Run a process that holds the lock of the sealed file until it is killed."""
    reading, writing = os.pipe()

    def hold() -> None:
        with lock.locked(str(sealed)):
            os.write(writing, b"held")
            signal.pause()

    process = forked.start(hold)
    # Without this a read would wait for ever for a child that failed.
    os.close(writing)
    assert os.read(reading, 4) == b"held"
    yield process
    os.kill(process, signal.SIGKILL)
    os.close(reading)


@pytest.mark.usefixtures("holder", "short_time_out")
def test_a_lock_that_is_held_for_too_long_is_an_error(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)

    with pytest.raises(StorageError, match="another process holds the lock") as caught:
        storage.set("hostname", "h")

    assert str(sealed) in caught.value.message
    assert caught.value.hint
    assert storage.read_storage() == ksm_storage.open_storage(sealed).read_storage() == CONFIG
    os.waitpid(-1, os.WNOHANG)


@pytest.mark.usefixtures("holder", "short_time_out")
def test_reading_needs_no_lock(sealed: Path) -> None:
    assert ksm_storage.open_storage(sealed).get("hostname") == CONFIG["hostname"]
    os.waitpid(-1, os.WNOHANG)


def test_a_holder_that_is_killed_holds_nothing_longer(sealed: Path, holder: int) -> None:
    storage = ksm_storage.open_storage(sealed)
    killer = threading.Timer(0.05, os.kill, (holder, signal.SIGKILL))
    killer.start()

    storage.set("hostname", "h")
    killer.join()

    assert ksm_storage.open_storage(sealed).get("hostname") == "h"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
@pytest.mark.parametrize("use", ["set", "create", "protect", "rewrap", "rekey"])
def test_a_file_system_that_cannot_lock_is_an_error_at_once(
    use: str, code: int, sealed: Path, folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = new_key(folder.parent / "second.key")
    storage = ksm_storage.open_storage(sealed)
    plain = write_plain(folder / "plain")
    before, sealed_before = plain.read_bytes(), sealed.read_bytes()

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    started = time.monotonic()
    uses: dict[str, Callable[[], object]] = {
        "set": lambda: storage.set("hostname", "h"),
        "create": lambda: ksm_storage.open_storage(folder / "new", keys=[key]),
        "protect": lambda: ksm_storage.protect(plain, keys=[key]),
        "rewrap": lambda: ksm_storage.rewrap(sealed, add=[second]),
        "rekey": lambda: ksm_storage.rekey(sealed),
    }
    with pytest.raises(StorageError, match="cannot lock") as caught:
        uses[use]()

    assert time.monotonic() - started < 5
    assert caught.value.hint
    assert storage.read_storage() == CONFIG
    assert plain.read_bytes() == before
    assert sealed.read_bytes() == sealed_before


def test_descriptors_are_closed(sealed: Path, folder: Path, key: str) -> None:
    storage = ksm_storage.open_storage(sealed)
    before = len(os.listdir("/proc/self/fd"))

    for number in range(20):
        storage.set("url", str(number))
        storage.get("url")
        ksm_storage.open_storage(folder / "never-written", keys=[key])
        with pytest.raises(KsmStorageError):
            ksm_storage.open_storage(folder / "missing")

    assert len(os.listdir("/proc/self/fd")) == before


@both
@pytest.mark.parametrize("exists", [True, False], ids=["file", "no file"])
def test_one_process_at_a_time_holds_it(locked: Locked, exists: bool, folder: Path) -> None:
    path = folder / "config"
    if exists:
        path.touch()

    def work() -> None:
        with pytest.raises(StorageError, match="holds the lock"), _held(locked, path, seconds=0.02):
            pass

    with _held(locked, path):
        assert forked.run(work) == 0
    with _held(locked, path, seconds=0.02):
        pass


@both
def test_one_thread_at_a_time_holds_it(locked: Locked, folder: Path) -> None:
    path = folder / "config"
    path.touch()
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(10):
            with _held(locked, path, seconds=20):
                inside.append(1)
                most.append(len(inside))
                os.sched_yield()
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1] * 40


@both
def test_another_file_of_the_folder_is_another_lock(locked: Locked, folder: Path) -> None:
    one, two = folder / "one", folder / "two"
    one.touch()
    two.touch()

    with _held(locked, one), _held(locked, two, seconds=0.02):
        pass


def test_the_lock_beside_a_file_is_named_after_it_and_hidden(folder: Path) -> None:
    with _held(lock.locked_by_sidecar, folder / "config"):
        assert names_in(folder) == [".config.lock"]


@both
def test_an_exception_lets_it_go(locked: Locked, folder: Path) -> None:
    with pytest.raises(RuntimeError), _held(locked, folder / "config"):
        raise RuntimeError

    with _held(locked, folder / "config", seconds=0.02):
        pass


@both
def test_a_missing_folder_is_an_error(locked: Locked, folder: Path) -> None:
    with (
        pytest.raises(StorageError, match="No such file") as caught,
        _held(locked, folder / "missing/config"),
    ):
        pass

    assert caught.value.hint == "create the folder first"


def test_the_name_of_a_folder_for_one_that_is_none_is_an_error(folder: Path) -> None:
    (folder / "file").touch()

    with (
        pytest.raises(StorageError, match="Not a directory") as caught,
        _held(lock.locked, folder / "file/config"),
    ):
        pass

    assert caught.value.hint == "part of the path is a file, not a folder"


@forked.root_only
def test_a_file_that_may_only_be_read_can_be_locked(shared_folder: Path) -> None:
    path = shared_folder / "config"
    path.touch()
    os.chmod(path, 0o444)

    def work() -> None:
        with pytest.raises(StorageError, match="holds the lock"), _held(lock.locked, path, 0):
            pass

    with _held(lock.locked, path):
        assert forked.run_as_nobody(work) == 0


def test_the_lock_of_a_file_leaves_nothing_behind(folder: Path) -> None:
    with lock.locked(str(folder / "config"), timeout_seconds=1):
        assert names_in(folder) == []

    assert names_in(folder) == []


def test_who_waited_for_a_file_that_was_replaced_locks_the_new_one(folder: Path) -> None:
    path = folder / "config"
    path.write_text("old")

    with contextlib.ExitStack() as stack:
        with lock.locked(str(path), timeout_seconds=1):
            said = stack.enter_context(_waiter(path, opens=path))
            (folder / "staged").write_text("new")
            os.replace(folder / "staged", path)

        assert os.read(said, 20) == b"held: new"
        with (
            pytest.raises(StorageError, match="holds the lock"),
            lock.locked(str(path), timeout_seconds=0.02),
        ):
            pass


def test_who_waited_for_a_folder_locks_the_file_that_was_made(folder: Path) -> None:
    path = folder / "config"

    with contextlib.ExitStack() as stack:
        with lock.locked(str(path), timeout_seconds=1):
            said = stack.enter_context(_waiter(path, opens=folder))
            path.write_text("new")

        assert os.read(said, 20) == b"held: new"
        with lock.locked(str(folder / "other"), timeout_seconds=1):
            pass


def test_who_waited_for_a_file_that_was_removed_locks_the_folder(folder: Path) -> None:
    path = folder / "config"
    path.touch()

    with contextlib.ExitStack() as stack:
        with lock.locked(str(path), timeout_seconds=1):
            said = stack.enter_context(_waiter(path, opens=path))
            path.unlink()

        assert os.read(said, 20) == b"held: nothing"
        with (
            pytest.raises(StorageError, match="holds the lock"),
            lock.locked(str(path), timeout_seconds=0.02),
        ):
            pass


def test_the_descriptor_of_a_lock_may_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config").touch()
    real, modes = fcntl.flock, []

    def noting(descriptor: int, operation: int) -> None:
        modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", noting)
    with _held(lock.locked, folder / "config"):
        pass

    # NFS turns it into a lock of bytes, which it grants to no other.
    assert modes == [os.O_RDWR] * 2


@forked.root_only
def test_a_pipe_that_may_only_be_read_is_not_waited_for(shared_folder: Path) -> None:
    os.mkfifo(shared_folder / "config")
    os.chmod(shared_folder / "config", 0o444)

    def work() -> None:
        signal.alarm(20)
        with _held(lock.locked, shared_folder / "config"):
            pass

    assert forked.run_as_nobody(work) == 0


def test_on_windows_the_file_beside_is_locked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    with lock.locked(str(folder / "config")):
        assert names_in(folder) == [".config.lock"]


def test_half_a_save_that_fails_its_mac_is_read_again_under_the_lock(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ksm_storage.open_storage(sealed).set("hostname", "h")
    # The first look only tells an envelope from a plain configuration.
    torn = _altered_at(2, sealed, monkeypatch)

    assert ksm_storage.open_storage(sealed).get("hostname") == "h"
    assert torn[:3] == [False, True, False]


def test_half_a_save_that_a_get_meets_is_read_again_under_the_lock(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ksm_storage.open_storage(sealed)
    ksm_storage.open_storage(sealed).set("hostname", "h")
    torn = _altered_at(1, sealed, monkeypatch)

    assert storage.get("hostname") == "h"
    assert torn == [True, False]


def test_a_journal_whose_end_was_cut_off_while_it_was_read_is_no_older_version(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ksm_storage.open_storage(sealed)
    old = sealed.read_bytes()
    ksm_storage.open_storage(sealed).set("hostname", "h")
    new, real = sealed.read_bytes(), os.read
    shown: list[bytes] = []

    def read(descriptor: int, size: int) -> bytes:
        part = real(descriptor, size)
        if part == new:
            # The reader was at the old version when the new one took its place in the file.
            shown.append(part if shown else old + b"\0" + new[:100])
            return shown[-1]
        return part

    monkeypatch.setattr(os, "read", read)

    assert storage.get("hostname") == "h"
    assert len(shown) == 2


def test_what_is_altered_in_truth_is_refused(sealed: Path) -> None:
    raw = sealed.read_bytes()
    sealed.write_bytes(_altered(raw))

    with pytest.raises(DecryptionError):
        ksm_storage.open_storage(sealed)


def _held(locked: Locked, path: Path, seconds: float = 5.0) -> AbstractContextManager[None]:
    return locked(str(path), timeout_seconds=seconds)


@contextlib.contextmanager
def _waiter(path: Path, *, opens: Path) -> Iterator[int]:
    """Run a child that waits for a lock which this process holds; give where it says it has it."""
    reading, writing = os.pipe()

    def wait() -> None:
        with lock.locked(str(path), timeout_seconds=20):
            os.write(writing, b"held: " + (path.read_bytes() if path.exists() else b"nothing"))
            signal.pause()

    process = forked.start(wait)
    # Without this a read would wait for ever for a child that failed.
    os.close(writing)
    try:
        _wait_until_open(opens, process)
        yield reading
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(reading)


def _wait_until_open(path: Path, process: int) -> None:
    """Wait until a child has opened what this process holds, and so waits for its lock."""
    deadline = time.monotonic() + 60
    # One of them is what it took over from this process.
    while _opened_by(process).count(str(path)) < 2:
        assert time.monotonic() < deadline
        os.sched_yield()


def _opened_by(process: int) -> list[str]:
    opened: list[str] = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            opened.append(os.readlink(link))
    return opened


def _altered(raw: bytes) -> bytes:
    """Change the payload so that it parses and does not open."""
    at = raw.rindex(b"\n", 0, len(raw) - 1) + 1
    return raw[:at] + (b"A" if raw[at : at + 1] != b"A" else b"B") + raw[at + 1 :]


def _altered_at(turn: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Show an altered file to one of the reads; return which of them it was, as they happen."""
    altered: list[bool] = []
    real = os.read
    raw = path.read_bytes()

    def read(descriptor: int, size: int) -> bytes:
        part = real(descriptor, size)
        if part != raw:
            return part
        altered.append(len(altered) + 1 == turn)
        return _altered(part) if altered[-1] else part

    monkeypatch.setattr(os, "read", read)
    return altered


BUSY = """
import sys, time
from ksm_storage.files.lock import locked
end, turns = time.monotonic() + 4, 0
while time.monotonic() < end:
    with locked(sys.argv[1]):
        turns += 1
        time.sleep(0.004)
print(turns)
"""


def test_of_busy_writers_none_is_left_out(sealed: Path) -> None:
    program = [sys.executable, "-c", BUSY, str(sealed)]
    workers = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True) for _ in range(16)]

    turns = [int(worker.communicate(timeout=50)[0]) for worker in workers]

    assert min(turns) > 5, turns


OURS = """
import sys
from ksm_storage.files.lock import locked
with locked(sys.argv[1]), open(sys.argv[2], "a") as turns:
    turns.write("ours ")
"""
LATER = """
import fcntl, sys
with open(sys.argv[1]) as file, open(sys.argv[2], "a") as turns:
    fcntl.flock(file, fcntl.LOCK_EX)
    turns.write("later")
    turns.flush()
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux shows who waits")
def test_who_waits_keeps_a_place_in_the_queue(sealed: Path, tmp_path: Path) -> None:
    turns = tmp_path / "turns"
    # The lock is left first: its end is what the programs wait for.
    with contextlib.ExitStack() as programs, lock.locked(str(sealed)):
        for number, program in enumerate((OURS, LATER), start=1):
            command = [sys.executable, "-c", program, str(sealed), str(turns)]
            programs.enter_context(subprocess.Popen(command))
            _wait_until_queued(sealed, number)

    # Who asks again and again would come after the one that the kernel wakes.
    assert turns.read_text() == "ours later"


def _wait_until_queued(path: Path, count: int) -> None:
    """Wait until so many processes are blocked in the kernel for the lock of a file."""
    place, deadline = f":{path.stat().st_ino} ", time.monotonic() + 30
    while sum("->" in line and place in line for line in _kernel_locks()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _kernel_locks() -> list[str]:
    return Path("/proc/locks").read_text().splitlines()


def test_a_long_wait_is_told_once(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "NOTICE_SECONDS", 0.05)

    with (
        lock.locked(str(sealed)),
        pytest.raises(StorageError, match="another process holds"),
        lock.locked(str(sealed), timeout_seconds=0.3),
    ):
        pass

    (record,) = caplog.records
    assert record.getMessage() == (
        f"note: waiting for another process to release the lock of {str(sealed)!r}"
    )


def test_who_gave_up_waiting_does_not_keep_the_lock(sealed: Path) -> None:
    with (
        lock.locked(str(sealed)),
        pytest.raises(StorageError),
        lock.locked(str(sealed), timeout_seconds=0.05),
    ):
        pass

    with lock.locked(str(sealed), timeout_seconds=5):
        pass
    assert not [path for path in descriptors() if path == str(sealed)]


def descriptors() -> list[str]:
    """Return the files that this process has open, once the lock's threads have ended."""
    for thread in threading.enumerate():
        if thread.name == "ksm-storage-lock":
            thread.join(10)
    return [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if is_open(entry.path)]


def is_open(path: str) -> bool:
    try:
        os.readlink(path)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("target", ["missing", "there"])
def test_a_link_in_the_place_of_a_file_is_an_error_and_no_endless_wait(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to(tmp_path / target)

    with (
        pytest.raises(StorageError, match="is a symbolic link"),
        lock.locked(str(tmp_path / "link")),
    ):
        pass
