"""Secrets in the kernel's keyring end by themselves and are read by their owner alone."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ksm_storage.keys import kernel_keyring
from tests.start_cache.kernel_session import entry, plant

pytestmark = pytest.mark.usefixtures("session_keyring")

SECRET = os.urandom(32)
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def name() -> str:
    """Name an entry that no other test has."""
    return f"ksm-storage:{os.urandom(8).hex()}"


def in_child(call: str, *, user: int = NOBODY) -> int:
    """Return how a forked child ends that takes on another user and evaluates something."""
    child = os.fork()
    if child == 0:
        result = 99
        try:
            os.setresuid(user, user, user)
            result = int(eval(call, {"keyring": kernel_keyring, "plant": plant}))
        except OSError as exc:
            result = exc.errno or 98
        finally:
            os._exit(result)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("keyring", kernel_keyring.KEYRINGS)
def test_what_is_kept_is_found_until_it_is_discarded(keyring: str, name: str) -> None:
    try:
        before = kernel_keyring.find(name, keyring=keyring)
    except OSError as exc:
        pytest.skip(f"no {keyring} keyring in this kernel: {exc.strerror}")

    kernel_keyring.keep(name, SECRET, keyring=keyring, seconds=60)
    found = kernel_keyring.find(name, keyring=keyring)
    kernel_keyring.discard(name, keyring=keyring)

    assert (before, found) == (None, SECRET)
    assert kernel_keyring.find(name, keyring=keyring) is None


def test_a_second_secret_takes_the_place_of_the_first(name: str) -> None:
    kernel_keyring.keep(name, bytes(32), keyring="session", seconds=60)

    kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)

    assert kernel_keyring.find(name, keyring="session") == SECRET


def test_threads_keep_the_same_entry_at_once(name: str) -> None:
    # The first of a process makes the keyrings that its later threads share.
    kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)

    def keep(_: int) -> None:
        kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(keep, range(400)))

    assert kernel_keyring.find(name, keyring="session") == SECRET


def test_the_kernel_ends_an_entry(name: str) -> None:
    kernel_keyring.keep(name, SECRET, keyring="session", seconds=1)
    end = time.monotonic() + 10

    while kernel_keyring.find(name, keyring="session") is not None:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_entry_ends_although_the_clock_of_the_system_was_set_back(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)
    now = kernel_keyring._nanoseconds()

    # The kernel would give it out for another 60 seconds.
    monkeypatch.setattr(kernel_keyring, "_nanoseconds", lambda: now + 60_000_000_000)

    assert kernel_keyring.find(name, keyring="session") is None
    assert entry(name)


def test_a_hit_does_not_prolong_it_and_nobody_may(name: str) -> None:
    kernel_keyring.keep(name, SECRET, keyring="session", seconds=50)
    kernel_keyring.find(name, keyring="session")
    serial = int(entry(name)[0], 16)

    with pytest.raises(PermissionError):
        kernel_keyring._keyctl(kernel_keyring._SET_TIMEOUT, serial, 5000)

    left, permissions = entry(name)[3:5]
    assert permissions == "001b0000"
    assert left in {f"{seconds}s" for seconds in range(40, 51)}


def test_an_entry_is_in_no_other_keyring(name: str) -> None:
    kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)

    assert kernel_keyring.find(name, keyring="user") is None


@AS_ROOT
def test_another_user_in_the_same_session_reads_nothing(name: str) -> None:
    kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)
    serial = int(entry(name)[0], 16)

    found = in_child(f"keyring.find({name!r}, keyring='session') is not None")
    read = in_child(f"keyring._read({serial}) != b''")

    assert (found, read) == (errno.EACCES, errno.EACCES)


@AS_ROOT
def test_an_entry_of_another_user_is_ignored(name: str) -> None:
    assert in_child(f"bool(plant({name!r}, bytes(32)))") == 0

    assert kernel_keyring.find(name, keyring="session") is None


def test_an_entry_that_others_may_change_is_ignored(name: str) -> None:
    plant(name, bytes(32))

    assert kernel_keyring.find(name, keyring="session") is None


def test_what_is_kept_replaces_a_planted_entry(name: str) -> None:
    plant(name, bytes(32))

    kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)

    assert kernel_keyring.find(name, keyring="session") == SECRET


def test_no_entry_without_an_end_is_left_where_the_time_cannot_be_set(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_keyring, "_SET_TIMEOUT", 9999)

    with pytest.raises(OSError, match="not supported"):
        kernel_keyring.keep(name, SECRET, keyring="session", seconds=60)

    assert kernel_keyring.find(name, keyring="session") is None
