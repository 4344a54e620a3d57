"""Files of local keys are processed in copies of the process, and nothing else changes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ksm_storage.batch.forked_queue import may_fork
from ksm_storage.batch.provider_queue import FileResult, JobResult
from ksm_storage.batch.runner import Deadline, Runner
from ksm_storage.errors import (
    DecryptionError,
    KsmStorageError,
    ProviderError,
    StorageError,
    ThrottledError,
)

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two cores",
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads of other tests may be there; they hold no lock that is used here.
    monkeypatch.setattr("ksm_storage.batch.forked_queue.may_fork", lambda: True)


def forked(work: Callable[[str], FileResult], *, deadline: Deadline | None = None) -> Runner:
    return Runner(work, service_of=lambda _: "local", limit=4, forked={"local"}, deadline=deadline)


def pid(_path: str) -> FileResult:
    time.sleep(0.001)
    return FileResult(str(os.getpid()))


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


def error() -> KsmStorageError:
    cause = DecryptionError("wrong", hint="look", key="key-file:///k", operation="unwrap")
    found = ProviderError("none", hint="do", provider="p", permission="x:Y", request_id="r")
    found.causes = (cause,)
    found.path = "/path"
    return found


def test_an_error_comes_back_whole() -> None:
    def work(_path: str) -> FileResult:
        raise error()

    (found,) = forked(work).run(["a"])

    assert type(found.error) is ProviderError
    assert found.error.as_dict() == error().as_dict()
    assert found.error.__notes__ == error().__notes__
    assert type(found.error.causes[0]) is DecryptionError


def test_an_error_of_a_class_that_cannot_be_sent_comes_as_the_documented_one() -> None:
    class PrivateError(ThrottledError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} {two}", hint="wait", key="k")

    def work(_path: str) -> FileResult:
        raise StorageError("outer") if _path == "plain" else PrivateError(1, 2)

    runner = Runner(work, service_of=lambda _: "local", limit=2, forked={"local"})
    runner._backoff = runner._backoff._replace(tries=1)
    plain, private = runner.run(["plain", "private"])

    assert type(plain.error) is StorageError
    assert type(private.error) is ThrottledError
    assert private.error.as_dict() == {**PrivateError(1, 2).as_dict(), "error": "ThrottledError"}


def test_a_fault_of_ours_is_raised_here() -> None:
    def work(_path: str) -> FileResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(forked(work).run(["a", "b"]))


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


def test_what_each_process_logs_for_itself_is_logged_once_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(path: str) -> FileResult:
        time.sleep(0.001)
        logger = logging.getLogger("ksm_storage.audit")
        logger.warning("warning: %s", "events are lost")
        logger.warning("warning: of %s", path)
        return FileResult(str(os.getpid()))

    found = list(forked(work).run(str(number) for number in range(50)))

    assert len({each.done.result for each in found if each.done}) >= 2
    texts = [record.getMessage() for record in caplog.records]
    assert texts.count("warning: events are lost") == 1
    assert sorted(texts)[1:] == sorted(f"warning: of {number}" for number in range(50))
    assert {record.name for record in caplog.records} == {"ksm_storage.audit"}


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


def test_interrupts_are_the_parents_alone() -> None:
    def work(_path: str) -> FileResult:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        return FileResult("done")

    (found,) = forked(work).run(["a"])

    assert found.done == FileResult("done")


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


def test_a_process_with_other_threads_is_not_copied() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="of a library")
    thread.start()
    try:
        assert not may_fork()
    finally:
        end.set()
        thread.join()
