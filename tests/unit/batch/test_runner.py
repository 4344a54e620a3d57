"""Many files: in order, bounded for each service, patient, and stopped in good order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ksm_storage.batch.provider_queue import BackoffPolicy, FileResult
from ksm_storage.batch.runner import WINDOW, Runner
from ksm_storage.batch.selection import is_one_file, selected_paths
from ksm_storage.errors import DecryptionError, ThrottledError, UnavailableError

QUICK = BackoffPolicy(tries=4, first_seconds=0.001, max_seconds=0.002)
SOON = 10.0


def runner(
    work: Callable[[str], FileResult],
    *,
    limit: int = 4,
    service_of: Callable[[str], str] = lambda path: path.partition("/")[0],
) -> Runner:
    return Runner(work, service_of=service_of, limit=limit, backoff=QUICK)


def test_the_outcomes_come_in_the_order_of_the_paths() -> None:
    second_done = threading.Event()

    def work(path: str) -> FileResult:
        if path == "a/0":
            assert second_done.wait(SOON)
        elif path == "a/1":
            second_done.set()
        return FileResult(path)

    paths = [f"a/{number}" for number in range(50)]

    assert [o.path for o in runner(work).run(paths)] == paths


def test_one_files_failure_is_its_own() -> None:
    def work(path: str) -> FileResult:
        if path == "a/1":
            raise DecryptionError("no")
        return FileResult("ok")

    outcomes = list(runner(work).run(["a/0", "a/1", "a/2"]))

    assert [o.done is not None for o in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, DecryptionError)


def test_no_more_files_of_one_service_run_at_a_time_than_the_limit() -> None:
    lock = threading.Lock()
    running: dict[str, int] = {"a": 0, "b": 0}
    most: dict[str, int] = {"a": 0, "b": 0}
    both = threading.Barrier(6)  # three of each service are under way together, or this breaks

    def work(path: str) -> FileResult:
        service = path[0]
        with lock:
            running[service] += 1
            most[service] = max(most[service], running[service])
        both.wait(SOON)
        with lock:
            running[service] -= 1
        return FileResult("ok")

    list(runner(work, limit=3).run([f"{s}/{n}" for n in range(9) for s in "ab"]))

    assert most == {"a": 3, "b": 3}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_throttled_file_is_tried_again(wrapped: bool) -> None:
    tries: list[str] = []

    def work(path: str) -> FileResult:
        tries.append(path)
        if len(tries) < 3:
            error = ThrottledError("slow down")
            if not wrapped:
                raise error
            several = UnavailableError("none of the 2 recipients")
            several.causes = (error,)
            raise several
        return FileResult("ok")

    assert [o.done for o in runner(work).run(["a/0"])] == [FileResult("ok")]
    assert len(tries) == 3


def test_a_service_that_throttles_for_ever_is_given_up() -> None:
    def work(path: str) -> FileResult:
        raise ThrottledError("slow down")

    (outcome,) = runner(work).run(["a/0"])

    assert isinstance(outcome.error, ThrottledError)


def test_a_throttled_service_does_not_hold_up_another() -> None:
    others_done = threading.Event()
    count = 0

    def work(path: str) -> FileResult:
        nonlocal count
        if path.startswith("slow"):
            if not others_done.is_set():
                # All of the other service's files are done while this one is not.
                assert others_done.wait(SOON)
                raise ThrottledError("slow down")
            return FileResult("ok")
        count += 1
        if count == 20:
            others_done.set()
        return FileResult("ok")

    paths = ["slow/0", *(f"fast/{number}" for number in range(20))]

    assert all(o.done for o in runner(work, limit=1).run(paths))


def test_after_a_stop_what_runs_is_finished_and_nothing_else_is_begun() -> None:
    begun: list[str] = []
    taken: list[int] = []

    def paths() -> object:
        for number in range(10 * WINDOW):
            taken.append(number)
            yield f"a/{number}"

    def work(path: str) -> FileResult:
        begun.append(path)
        if len(begun) == 3:
            fleet.stop()
        return FileResult("ok")

    fleet = runner(work, limit=1)
    outcomes = list(fleet.run(paths()))  # type: ignore[arg-type]  # a generator of strings

    assert sum(o.done is not None for o in outcomes) == len(begun) == 3
    assert len(outcomes) == len(taken) <= WINDOW + 3


def test_no_more_paths_are_held_than_the_window() -> None:
    ahead = most = 0

    def paths() -> object:
        nonlocal ahead, most
        for number in range(3 * WINDOW):
            ahead += 1
            most = max(most, ahead)
            yield f"a/{number}"

    for _ in runner(lambda _: FileResult("ok")).run(paths()):  # type: ignore[arg-type]  # as above
        ahead -= 1

    assert most <= WINDOW + 1


def test_a_fault_of_ours_is_raised_and_not_counted_as_a_file() -> None:
    def work(path: str) -> FileResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(runner(work).run(["a/0"]))


def test_a_service_that_cannot_be_named_leaves_the_error_to_the_work() -> None:
    def service_of(path: str) -> str:
        raise DecryptionError("damaged")

    assert [
        o.done for o in runner(lambda _: FileResult("ok"), service_of=service_of).run(["x"])
    ] == [FileResult("ok")]


def test_globs_lists_and_plain_names_are_taken_as_they_come(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "[x].json"):
        (tmp_path / name).touch()
    listing = tmp_path / "list"
    listing.write_bytes(b"one\n\ntwo\r\n")

    chosen = selected_paths([f"{tmp_path}/?.json", f"{tmp_path}/[x].json", "no*"], [str(listing)])

    assert list(chosen) == [
        *(f"{tmp_path}/{name}" for name in ("a.json", "b.json", "[x].json")),
        *("no*", "one", "two"),
    ]


def test_one_file_is_one_that_is_named_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "[x]").touch()

    assert is_one_file([f"{tmp_path}/[x]"], [])
    assert not is_one_file([f"{tmp_path}/*"], [])
    assert not is_one_file(["a"], ["-"])


@pytest.mark.parametrize("allowed", [0, 1])
def test_no_file_is_lost_where_the_system_allows_no_further_thread(
    allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = threading.Thread.start
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)

    found = list(runner(lambda path: FileResult(path)).run(map(str, range(20))))

    assert [each.done and each.done.result for each in found] == list(map(str, range(20)))
