"""The limit for core files is lowered inside the blocks that ask for it, and restored after."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no such limit", allow_module_level=True)

import resource

from ksm_storage.process import give_limit_back, no_core_dumps

HARD = resource.getrlimit(resource.RLIMIT_CORE)[1]
# Any size that a core file could have: what this machine allows at most.
BEFORE = HARD

pytestmark = pytest.mark.skipif(HARD == 0, reason="this machine writes no core files at all")


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """Let core files be written before each test, and restore what was."""
    saved = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (BEFORE, HARD))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, saved)


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_CORE)[0]


def test_the_limit_is_below_the_smallest_core_file_inside_and_as_it_was_after() -> None:
    with no_core_dumps():
        inside = resource.getrlimit(resource.RLIMIT_CORE)

    assert inside[0] in (0, 1)
    assert inside[1] == HARD
    assert soft() == BEFORE


def test_the_limit_is_as_it_was_after_an_error() -> None:
    with pytest.raises(RuntimeError), no_core_dumps():
        raise RuntimeError

    assert soft() == BEFORE


def test_an_inner_block_ends_nothing() -> None:
    with no_core_dumps():
        with no_core_dumps():
            pass
        inside = soft()

    assert inside in (0, 1)
    assert soft() == BEFORE


def test_blocks_of_two_threads_may_overlap() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with no_core_dumps():
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    with no_core_dumps():
        thread.start()
        entered.wait(30)
    between = soft()
    leave.set()
    thread.join()

    assert between in (0, 1)
    assert soft() == BEFORE


def test_a_limit_that_the_application_sets_meanwhile_stays() -> None:
    with no_core_dumps():
        resource.setrlimit(resource.RLIMIT_CORE, (4096, HARD))

    assert soft() == 4096


def test_the_limit_is_given_back_before_another_program_takes_the_place() -> None:
    with no_core_dumps():
        give_limit_back()
        inside = soft()

    assert inside == soft() == BEFORE


def test_a_child_that_is_forked_inside_can_leave_the_block() -> None:
    with no_core_dumps():
        child = os.fork()
    if not child:
        os._exit(0)

    assert os.waitpid(child, 0)[1] == 0
    assert soft() == BEFORE
