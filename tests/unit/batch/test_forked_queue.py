"""Files of local keys are processed in copies of the process, and nothing else changes."""

from __future__ import annotations

import contextvars
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.batch.forked_queue import may_fork
from ksm_storage.batch.provider_queue import FileResult, JobResult, ServiceNeededError
from ksm_storage.batch.runner import Deadline, Runner
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.errors import (
    StorageError,
)
from ksm_storage.keys.kek import KekPool
from ksm_storage.status.key_facts import KeyFacts
from tests.unit.batch.copies import forked, needs_two_cores, pid

pytestmark = needs_two_cores


def test_the_files_are_shared_out_and_come_back_in_their_order() -> None:
    paths = [str(number) for number in range(200)]

    found = list(forked(pid).run(paths))

    assert [each.path for each in found] == paths
    pids = {each.done.result for each in found if each.done}
    assert len(pids) >= 2
    assert str(os.getpid()) not in pids


def test_no_process_and_no_descriptor_is_left() -> None:
    before = os.listdir("/proc/self/fd")

    found = list(forked(pid).run(["a", "b", "c"]))

    assert os.listdir("/proc/self/fd") == before
    for each in found:
        assert each.done is not None
        with pytest.raises(ProcessLookupError):
            os.kill(int(each.done.result), 0)


def test_a_service_that_is_not_computed_stays_in_this_process() -> None:
    runner = Runner(pid, service_of=lambda path: path, limit=4, forked={"local"})

    remote, local = runner.run(["remote", "local"])

    assert remote.done == FileResult(str(os.getpid()))
    assert local.done != remote.done


def test_the_files_of_a_process_that_dies_are_errors_and_the_others_are_done() -> None:
    def work(path: str) -> FileResult:
        if path == "5":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.002)
        return FileResult("done")

    found = list(forked(work).run(str(number) for number in range(100)))

    failed = [each for each in found if each.error is not None]
    assert len(found) == 100
    assert "5" in [each.path for each in failed]
    assert 0 < len(failed) < 100
    assert {str(each.error) for each in failed} == {
        "the process that worked on the file ended unexpectedly"
    }


def test_after_a_stop_what_runs_is_finished_and_the_rest_is_reported_as_not_started() -> None:
    def work(path: str) -> FileResult:
        time.sleep(0.01)
        return FileResult(path)

    runner = forked(work)
    found: list[JobResult] = []

    for each in runner.run(str(number) for number in range(1000)):
        found.append(each)
        if len(found) == 10:
            runner.stop()

    done = [each for each in found if each.done]
    assert 10 <= len(done) < 1000
    assert all(each.done or not each.error for each in found)
    assert [each.path for each in found] == [str(number) for number in range(len(found))]


def test_a_process_whose_parent_is_gone_leaves_without_a_word() -> None:
    script = textwrap.dedent(
        """
        import os, sys, time
        from ksm_storage.batch.provider_queue import FileResult
        from ksm_storage.batch.runner import Runner

        def work(path):
            time.sleep(0.005)
            return FileResult(path)

        runner = Runner(work, service_of=lambda _: "local", limit=4, forked={"local"})
        for number, _ in enumerate(runner.run(map(str, range(500)))):
            if number == 5:
                os._exit(7)
        """
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    # Both ends of the pipes are read until the last process has closed them.
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_a_process_whose_parent_leaves_while_a_file_hangs_does_not_wait_for_it(
    tmp_path: Path,
) -> None:
    script = textwrap.dedent(
        """
        import os, sys, threading, time
        from ksm_storage.batch.provider_queue import FileResult
        from ksm_storage.batch.runner import Runner

        def work(path):
            if path != "quick":
                open(path, "x").close()
                time.sleep(40)
            return FileResult(path)

        runner = Runner(work, service_of=lambda _: "local", limit=2, forked={"local"})
        found = runner.run(["quick", "a", "b"])
        next(found)
        while not (os.path.exists("a") and os.path.exists("b")):
            time.sleep(0.01)
        # As the watch does at a second Ctrl-C, when the processes were told to end.
        threading.Thread.join = lambda _: os._exit(7)
        found.close()
        """
    )

    # Both ends of the pipes are read until the last process has closed them.
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=20
    )

    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_interrupts_are_the_parents_alone() -> None:
    def work(_path: str) -> FileResult:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        return FileResult("done")

    (found,) = forked(work).run(["a"])

    assert found.done == FileResult("done")


def test_an_interrupt_while_a_process_begins_is_the_parents_alone() -> None:
    script = textwrap.dedent(
        """
        import os, signal
        from ksm_storage.batch.provider_queue import FileResult
        from ksm_storage.batch.runner import Runner

        real = os.fork

        def fork():
            pid = real()
            if pid == 0:
                os.kill(os.getpid(), signal.SIGINT)
            return pid

        os.fork = fork
        work = lambda path: FileResult(path)
        runner = Runner(work, service_of=lambda _: "local", limit=2, forked={"local"})
        print([each.done and each.done.result for each in runner.run("ab")])
        """
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )

    assert (done.stdout, done.stderr) == ("['a', 'b']\n", "")


def test_nobody_waits_for_a_process_once_it_is_late(tmp_path: Path) -> None:
    def work(_path: str) -> FileResult:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(60)
        return FileResult("done")

    deadline = Deadline(time.monotonic() + 0.5, lambda: StorageError("late"))

    (found,) = forked(work, deadline=deadline).run(["a"])

    assert str(found.error) == "late"
    (child,) = (int(path.name) for path in tmp_path.iterdir())
    ended = time.monotonic() + 10
    while time.monotonic() < ended:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("the process goes on")


@pytest.fixture
def thread_of_a_library() -> Iterator[None]:
    """Run a thread that is none of the command's."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.usefixtures("thread_of_a_library")
def test_a_process_with_other_threads_is_not_copied() -> None:
    assert not may_fork()


def test_the_files_after_the_end_of_a_process_go_to_the_others() -> None:
    def work(path: str) -> FileResult:
        if path == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return FileResult("done")

    def paths() -> Iterator[str]:
        yield "0"
        until = time.monotonic() + 10
        while len(listeners()) == 2 and time.monotonic() < until:
            time.sleep(0.001)
        yield from map(str, range(1, 50))

    lost, *others = Runner(work, service_of=lambda _: "local", limit=2, forked={"local"}).run(
        paths()
    )

    assert lost.error is not None
    assert [each.path for each in others if each.error is not None] == []


def listeners() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "ksm-storage-results"]


def test_a_system_that_allows_no_further_process_gets_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    before, blocked = os.listdir("/proc/self/fd"), signal.pthread_sigmask(signal.SIG_BLOCK, ())

    found = list(forked(pid).run(["a", "b", "c"]))

    assert {each.done.result for each in found if each.done} == {str(os.getpid())}
    assert len(found) == 3
    assert os.listdir("/proc/self/fd") == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_a_system_that_allows_one_more_process_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real, forks = os.fork, []

    def fork() -> int:
        forks.append(1)
        if len(forks) > 1:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real()

    monkeypatch.setattr(os, "fork", fork)

    found = list(forked(pid).run(["a", "b", "c"]))

    assert len({each.done.result for each in found if each.done}) == 1
    assert str(os.getpid()) not in {each.done.result for each in found if each.done}


def test_a_process_that_nobody_can_listen_to_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    real = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name == "ksm-storage-results":
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    before = os.listdir("/proc/self/fd")

    found = list(forked(pid).run(["a", "b", "c"]))

    assert {each.done.result for each in found if each.done} == {str(os.getpid())}
    assert os.listdir("/proc/self/fd") == before


def test_a_command_without_stdout_and_stderr_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    found = list(forked(pid).run(["a", "b"]))

    assert all(each.done for each in found)


def test_what_was_printed_before_is_not_printed_by_the_processes_too() -> None:
    script = textwrap.dedent(
        """
        from ksm_storage.batch.provider_queue import FileResult
        from ksm_storage.batch.runner import Runner

        def work(path):
            print(path, flush=True)
            return FileResult(path)

        print("before")
        list(Runner(work, service_of=lambda _: "local", limit=2, forked={"local"}).run("a"))
        """
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
    )

    assert done.stdout == "before\na\n"


@pytest.mark.usefixtures("thread_of_a_library")
def test_a_process_with_threads_of_a_c_library_is_not_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A C library's thread is one that Python does not list.
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread()])

    assert not may_fork()


def test_a_file_that_a_key_service_takes_part_in_is_taken_back() -> None:
    here, place = os.getpid(), contextvars.ContextVar("place", default="")

    def work(path: str) -> FileResult:
        if path == "bound" and os.getpid() != here:
            raise ServiceNeededError
        return FileResult(f"{os.getpid() == here} {place.get()}")

    place.set("the caller's")

    found = list(forked(work).run(["a", "bound", "b", "bound"]))

    results = [each.done and each.done.result for each in found]
    assert results == ["False the caller's", "True the caller's"] * 2


def test_a_copy_of_the_process_does_not_query_a_key_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, here = KeyFacts(KekPool()), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)

    assert facts.describe(KeyUri("key-file", "/none"))[1] is not None
    for provider in ("acme-kms", "os-keyring", "tpm2"):
        with pytest.raises(ServiceNeededError):
            facts.describe(KeyUri(provider, "key"))
