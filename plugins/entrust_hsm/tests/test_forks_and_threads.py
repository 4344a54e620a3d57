"""Sessions are not taken into a fork, and are safe with threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ksm_storage_entrust_hsm import cryptoki as ck
from ksm_storage_entrust_hsm.session import sessions

from ksm_storage.errors import (
    KsmStorageError,
)

from .interposer import Interposer
from .opening import AAD, DEK, ONE, open_kek

pytestmark = pytest.mark.usefixtures("soft_token")

HERE = str(Path(__file__).parent.parent)


def test_a_child_begins_anew_and_leaves_the_parents_session_alone(interposer: Interposer) -> None:
    with open_kek(ONE) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)

        def in_child() -> bool:
            interposer.calls.clear()
            opens = kek.unwrap(wrapped, aad=AAD) == DEK
            kek.close()
            calls = interposer.calls
            return opens and calls["C_Initialize"] == calls["C_OpenSession"] == 1

        assert _child_says_yes(in_child)
        assert kek.unwrap(wrapped, aad=AAD) == DEK


def test_a_child_does_not_wait_for_a_lock_that_a_thread_of_the_parent_held() -> None:
    with open_kek(ONE) as kek:
        wrapped = kek.wrap(DEK, aad=AAD)
        with sessions._lock, kek._wrapper._session._module.task():  # type: ignore[attr-defined]
            assert _child_says_yes(lambda: kek.unwrap(wrapped, aad=AAD) == DEK)


def test_a_parent_that_closes_after_a_fork_closes_its_own(interposer: Interposer) -> None:
    kek = open_kek(ONE)
    kek.wrap(DEK, aad=AAD)

    def in_child() -> bool:
        interposer.calls.clear()
        kek.close()
        return not interposer.calls

    assert _child_says_yes(in_child)
    kek.close()


THREADS = """
import threading
from tests.opening import AAD, DEK, open_kek
together = threading.Barrier(8)
failures = []
def work(number):
    # Names that differ in the token's part have sessions of their own.
    token = "token=ksm" if number % 2 else "token=ksm;model=SoftHSM%20v2"
    together.wait()
    try:
        for _ in range(40):
            with open_kek(f"{token};object={('one', 'two')[number % 4 // 2]}") as kek:
                if kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) != DEK:
                    failures.append("another DEK")
    except BaseException as exc:
        failures.append(repr(exc))
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(failures or "survived")
"""


def test_eight_threads_survive() -> None:
    # In a process of its own: with a library initialised for one thread it would crash.
    ran = subprocess.run(
        [sys.executable, "-c", THREADS], cwd=HERE, capture_output=True, text=True, timeout=50
    )

    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "survived", "")


def test_the_library_is_told_that_there_are_threads(interposer: Interposer) -> None:
    flags: list[int] = []

    def initialised(real: Callable[..., int], arguments: int) -> int:
        flags.append(ck.InitializeArguments.from_address(arguments).flags)
        return int(real(arguments))

    with interposer.answering(C_Initialize=initialised), open_kek(ONE) as kek:
        kek.wrap(DEK, aad=AAD)

    assert flags == [ck.CKF_OS_LOCKING_OK]


@pytest.mark.parametrize("code", [0x05, 0x0A])
def test_a_library_that_cannot_be_initialised_is_an_error(
    interposer: Interposer, code: int
) -> None:
    with (
        interposer.answering(C_Initialize=code),
        open_kek(ONE) as kek,
        pytest.raises(KsmStorageError),
    ):
        kek.wrap(DEK, aad=AAD)


def test_threads_that_start_together_log_in_once(interposer: Interposer) -> None:
    with open_kek(ONE) as kek, ThreadPoolExecutor(8) as pool:
        wrapped = list(pool.map(lambda _: kek.wrap(DEK, aad=AAD), range(16)))

    assert len({each.ciphertext for each in wrapped}) == 16
    assert interposer.calls["C_Login"] == interposer.calls["C_OpenSession"] == 1


def _child_says_yes(ask: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if ask() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
