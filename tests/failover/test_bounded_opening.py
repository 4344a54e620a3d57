"""A service that never answers does not keep the next one from opening the file in time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import SettingsError, UnavailableError
from tests.cli.command import run
from tests.failover.conftest import TwoServices
from tests.unit.storage.fixtures import CONFIG
from tests.unit.storage.planted import Counted


def test_the_second_opens_within_the_bound(two: TwoServices, counted: Counted) -> None:
    counted.calls.clear()
    started = time.monotonic()

    storage = ksm_storage.open_storage(two.path, timeout=2)

    assert time.monotonic() - started < 2
    assert storage.read_storage() == CONFIG
    assert counted.calls == [("unwrap", "one")]


def test_the_first_has_its_share_of_the_time_before_the_second_is_asked(
    two: TwoServices, counted: Counted
) -> None:
    started = time.monotonic()

    ksm_storage.open_storage(two.path, timeout=2)

    # Half of it, there being two.
    assert time.monotonic() - started >= 1


def test_if_none_opens_in_time_each_is_reported(two: TwoServices, counted: Counted) -> None:
    counted.fail_with("Denied")
    started = time.monotonic()

    with pytest.raises(UnavailableError) as caught:
        ksm_storage.open_storage(two.path, timeout=1)

    assert time.monotonic() - started < 1.5
    silent, refusing = caught.value.causes
    assert (silent.key, refusing.key) == (two.silent, two.answering)
    assert silent.message == "the key service did not answer within 0.5 seconds"
    assert silent.retryable
    assert "may not use the key" in refusing.message


def test_a_hedge_asks_the_second_early(two: TwoServices, counted: Counted) -> None:
    started = time.monotonic()

    storage = ksm_storage.open_storage(two.path, timeout=20, hedge=0.2)

    assert 0.2 <= time.monotonic() - started < 5
    assert storage.read_storage() == CONFIG


def test_a_hedge_needs_no_timeout(two: TwoServices, counted: Counted) -> None:
    started = time.monotonic()

    ksm_storage.open_storage(two.path, hedge=0)

    assert time.monotonic() - started < 5


def test_without_a_hedge_a_service_that_answers_is_the_only_one_asked(
    two: TwoServices, counted: Counted
) -> None:
    two.emulator.faults.clear()
    counted.calls.clear()

    ksm_storage.open_storage(two.path, timeout=20)

    assert two.calls() == 1
    assert counted.calls == []


def test_without_a_bound_no_thread_is_started(
    two: TwoServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.emulator.faults.clear()

    def refuse(thread: threading.Thread) -> None:
        raise AssertionError(f"{thread.name} was started")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        ksm_storage.open_storage(two.path, keys=[two.answering])


PROGRAM = """
import sys, ksm_storage
print(ksm_storage.open_storage(sys.argv[1], timeout=1.0, keys=sys.argv[2:]).get("hostname"))
"""


def test_the_call_that_hangs_does_not_keep_the_process_from_ending(
    two: TwoServices, tmp_path: Path, key: str
) -> None:
    # Another process has no planted plugin, so the second key is a local one, made to be last.
    two.emulator.faults.clear()
    ksm_storage.rewrap(two.path, replace={two.answering: key})
    from ksm_storage_emulators.faults import FaultKind

    two.emulator.faults.add(FaultKind.HANG)
    started = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(two.path), two.silent],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    # The plugin itself would have waited for 20 seconds.
    assert time.monotonic() - started < 15
    assert "did not answer within 1 seconds" in done.stderr


def test_the_command_line_bounds_the_opening_too(two: TwoServices, key: str) -> None:
    two.emulator.faults.clear()
    ksm_storage.rewrap(two.path, replace={two.answering: key})
    from ksm_storage_emulators.faults import FaultKind

    two.emulator.faults.add(FaultKind.HANG)

    done = run("get", str(two.path), "hostname", "--timeout", "1", "--trust", two.silent)

    assert done.returncode == 5
    # The bound of the opening and that of the whole command end at about the same time.
    told = (
        "error: the key service did not answer within 1 seconds",
        "error: did not finish within the 1 s",
    )
    assert done.stderr.startswith(told)


@pytest.mark.parametrize(
    "pace",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"hedge": -1},
        {"hedge": float("nan")},
        {"hedge": float("inf")},
    ],
)
def test_a_time_that_is_none_is_refused(two: TwoServices, pace: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="must be a"):
        ksm_storage.open_storage(two.path, **pace)  # type: ignore[arg-type]  # numbers only
