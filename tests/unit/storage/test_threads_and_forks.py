"""One storage used by many threads, and by a child that was forked from one of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.envelope.codec import decode, encode
from ksm_storage.envelope.opening import open_envelope
from ksm_storage.envelope.sealing import rekey
from ksm_storage.files.replacement import replace_file
from ksm_storage.keys.kek import Kek
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, write_plain
from tests.unit.storage.planted import Counted

THREADS = 64


def at_once(work: Callable[[int], object], threads: int = THREADS) -> list[object]:
    """Run the work in so many threads that start together, and return what each returned."""
    barrier = threading.Barrier(threads)

    def started(number: int) -> object:
        barrier.wait(20)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(started, range(threads)))


def test_sets_of_many_threads_all_survive(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)

    at_once(lambda number: storage.set(f"field{number}", str(number)))

    expected = {f"field{number}": str(number) for number in range(THREADS)}
    assert ksm_storage.open_storage(sealed).read_storage() == CONFIG | expected


def test_two_storages_of_one_file_in_many_threads_undo_nothing(sealed: Path) -> None:
    storages = [ksm_storage.open_storage(sealed) for _ in range(2)]

    at_once(lambda number: storages[number % 2].set(f"field{number}", "x"), threads=32)

    assert len(storages[0].read_storage()) == len(CONFIG) + 32


def test_batches_of_many_threads_are_saves_of_their_own(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)

    def work(number: int) -> None:
        with storage.batch():
            seen = int(storage.get("url") or 0)
            storage.set("url", str(seen + 1))
            storage.set(f"field{number}", "x")

    at_once(work, threads=16)

    assert storage.get("url") == "16"
    assert "revision 17," in repr(storage)


def test_many_threads_that_meet_a_new_dek_make_one_unwrap(folder: Path, counted: Counted) -> None:
    path = write_plain(folder / "config")
    ksm_storage.protect(path, keys=["counted://one"])
    storage = ksm_storage.open_storage(path)
    envelope = decode(path.read_bytes())
    opened = open_envelope(envelope)
    with Kek.open(KeyUri.parse("counted://two")) as kek:
        rekeyed, _ = rekey(envelope, opened.payload, [kek], old_dek=opened.dek)
        path.write_bytes(encode(rekeyed))
    counted.calls.clear()

    values = at_once(lambda _: storage.get("hostname"))

    assert set(values) == {CONFIG["hostname"]}
    assert counted.calls == [("unwrap", "two")]


def test_many_threads_begin_a_file_once(folder: Path, counted: Counted) -> None:
    storage = ksm_storage.open_storage(folder / "config", keys=["counted://one"])

    at_once(lambda number: storage.set(f"field{number}", "x"))

    assert len(storage.read_storage()) == THREADS
    assert counted.calls == [("wrap", "one"), ("unwrap", "one")]


@pytest.mark.parametrize("held", ["a batch", "a save"])
def test_a_child_can_use_the_storage_though_another_thread_held_its_lock(
    held: str, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ksm_storage.open_storage(sealed)
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        if held == "a batch":
            with storage.batch():
                storage.set("url", "of the batch")
                inside.set()
                done.wait(20)
        else:
            storage.set("url", "of the save")

    real = replace_file
    parent = os.getpid()

    def slow(path: str, new: bytes) -> object:
        # The lock of the file is held now, and the locks of the storage.
        if os.getpid() == parent:
            inside.set()
            done.wait(20)
        return real(path, new)

    if held == "a save":
        monkeypatch.setattr("ksm_storage.files.replacement.replace_file", slow)
    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(20)
    child = forked.start(lambda: _use_in_child(storage))
    done.set()
    holder.join()

    assert forked.status_of(child) == 0
    assert storage.get("bat") == "of the child"
    assert storage.get("url") == f"of the {held[2:]}"


def _use_in_child(storage: EncryptedStorage) -> None:
    assert storage.get("hostname") == CONFIG["hostname"]
    storage.set("bat", "of the child")
    assert storage.get("bat") == "of the child"


def test_many_threads_of_a_child_take_turns(sealed: Path) -> None:
    storage = ksm_storage.open_storage(sealed)

    def work() -> None:
        at_once(lambda number: storage.set(f"field{number}", "x"), threads=16)

    with storage.batch():
        assert storage.set("url", "not in the child")
        child = forked.start(work)
        # The batch saves at its end, and with what the child set.

    assert forked.status_of(child) == 0
    assert len(storage.read_storage()) == len(CONFIG) + 17
