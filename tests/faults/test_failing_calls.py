"""Each call of a save fails, or the process ends there: the old version stands or the new one."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.errors import KsmStorageError, StorageError
from ksm_storage.storage.encrypted_storage import EncryptedStorage
from tests.faults.faulty_os import (
    CHANGING,
    Act,
    FaultyOs,
    die_after,
    die_before,
    die_in_the_middle,
    fail,
    write_little,
)
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, write_plain

NEW = "new value" * 20
CODES = [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EPERM]


def _stands(faulty: FaultyOs, step: int) -> bool:
    """Tell whether the call came after the rename: the new version stands, and may be lost."""
    return not faulty.mounted and "replace" in faulty.calls[:step]


ways = pytest.mark.parametrize("mounted", [False, True], ids=["renamed", "in place"])


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch, mounted: bool) -> FaultyOs:
    """Stand between the storage and the operating system."""
    faulty = FaultyOs(monkeypatch)
    faulty.mounted = mounted
    return faulty


def left_by_a_killed_writer(path: Path) -> None:
    """Leave a temporary file where the next save makes its own, which has to remove it."""
    path.with_name(f".{path.name}.ksm-tmp").write_text("half of")


def calls_of_a_save(path: Path, faulty: FaultyOs) -> list[str]:
    """Save once without a fault, after a killed writer, and return which calls that took."""
    storage = ksm_storage.open_storage(path)
    left_by_a_killed_writer(path)
    with faulty.watching():
        storage.set("url", NEW)
    storage.delete("url")
    return list(faulty.calls)


def changes(calls: list[str]) -> list[int]:
    """Return which of the calls change something, so that a process may as well end there."""
    return [step for step, name in enumerate(calls) if name in CHANGING]


@ways
def test_a_save_makes_the_calls_that_are_made_to_fail(
    mounted: bool, sealed: Path, faulty: FaultyOs
) -> None:
    calls = calls_of_a_save(sealed, faulty)

    expected = {"flock", "open", "write", "fchmod", "fsync", "replace", "unlink", "close"}
    assert expected <= set(calls)
    assert ("ftruncate" in calls) is mounted
    assert calls.count("fsync") == (4 if mounted else 2)


@ways
@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
def test_memory_is_the_disk_after_any_call_failed(
    code: int, mounted: bool, sealed: Path, folder: Path, faulty: FaultyOs
) -> None:
    storage = ksm_storage.open_storage(sealed)
    for step in range(len(calls_of_a_save(sealed, faulty))):
        left_by_a_killed_writer(sealed)
        with faulty.watching(at=step, act=fail(code)):
            failed = _failed(storage)

        # What was reported as saved is saved, and nothing that was reported as failed.
        expected = CONFIG if failed and not _stands(faulty, step) else {**CONFIG, "url": NEW}
        told = f"call {step}: {faulty.calls[step]}"
        assert ksm_storage.open_storage(sealed).read_storage() == expected, told
        assert storage.read_storage() == expected, told

        storage.delete("url")
        storage.set("bat", str(step))
        storage.delete("bat")
        assert names_in(folder) == ["client-config.json"], told


@ways
def test_a_full_disk_is_told_with_what_to_do(mounted: bool, sealed: Path, faulty: FaultyOs) -> None:
    storage = ksm_storage.open_storage(sealed)
    step = calls_of_a_save(sealed, faulty).index("write")

    with (
        pytest.raises(StorageError, match="No space left on device") as caught,
        faulty.watching(at=step, act=fail(errno.ENOSPC)),
    ):
        storage.set("url", NEW)

    assert "free some space" in str(caught.value.hint)


@ways
@pytest.mark.parametrize("die", [die_before, die_in_the_middle, die_after])
def test_a_process_that_ends_at_any_call_leaves_the_old_version_or_the_new_one(
    die: Callable[[int], Act], mounted: bool, sealed: Path, folder: Path, faulty: FaultyOs
) -> None:
    seen = set()
    for step in changes(calls_of_a_save(sealed, faulty)):

        def work(at: int = step) -> None:
            storage = ksm_storage.open_storage(sealed)
            left_by_a_killed_writer(sealed)
            with faulty.watching(at=at, act=die(forked.KILLED)):
                storage.set("url", NEW)

        assert forked.run(work) == forked.KILLED

        storage = ksm_storage.open_storage(sealed)
        config = storage.read_storage()
        seen.add(config.pop("url", "old"))
        assert config == CONFIG, f"call {step}"
        assert set(names_in(folder)) <= {"client-config.json", ".client-config.json.ksm-tmp"}

        storage.set("url", "next save")
        assert ksm_storage.open_storage(sealed).get("url") == "next save"
        assert names_in(folder) == ["client-config.json"], f"call {step}"
        assert b"\0" not in sealed.read_bytes()
        storage.delete("url")

    assert seen == {"old", NEW}


@ways
def test_writes_that_write_little_at_a_time_make_a_whole_file(
    mounted: bool, sealed: Path, faulty: FaultyOs
) -> None:
    storage = ksm_storage.open_storage(sealed)

    with faulty.watching(act=write_little):
        storage.set("url", NEW)

    assert faulty.calls.count("write") > 5
    assert ksm_storage.open_storage(sealed).get("url") == NEW


@pytest.mark.parametrize("mounted", [False])
@pytest.mark.parametrize("code", CODES[:3], ids=lambda code: errno.errorcode[code])
def test_a_file_is_protected_or_plain_after_any_call_failed(
    code: int, mounted: bool, folder: Path, key: str, faulty: FaultyOs
) -> None:
    path = write_plain(folder / "config")
    plain = path.read_bytes()
    with faulty.watching():
        ksm_storage.protect(path, keys=[key])
    steps = len(faulty.calls)

    for step in range(steps):
        path.write_bytes(plain)
        failed = False
        with faulty.watching(at=step, act=fail(code)):
            try:
                ksm_storage.protect(path, keys=[key])
            except KsmStorageError:
                failed = True
        unchanged = failed and not _stands(faulty, step)
        assert (path.read_bytes() == plain) is unchanged, f"call {step}: {faulty.calls[step]}"

    assert ksm_storage.open_storage(path, keys=[key]).read_storage() == CONFIG
    assert names_in(folder) == ["config"]


@pytest.mark.parametrize("mounted", [False])
@pytest.mark.parametrize("die", [die_before, die_in_the_middle, die_after])
def test_a_file_is_protected_or_plain_after_the_process_ended_at_any_call(
    die: Callable[[int], Act], mounted: bool, folder: Path, key: str, faulty: FaultyOs
) -> None:
    path = write_plain(folder / "config")
    plain = path.read_bytes()
    with faulty.watching():
        ksm_storage.protect(path, keys=[key])

    for step in changes(faulty.calls):
        path.write_bytes(plain)

        def work(at: int = step) -> None:
            with faulty.watching(at=at, act=die(forked.KILLED)):
                ksm_storage.protect(path, keys=[key])

        assert forked.run(work) == forked.KILLED
        if path.read_bytes() != plain:
            assert ksm_storage.open_storage(path).read_storage() == CONFIG
        assert b"keepersecurity" not in b"".join(
            (folder / name).read_bytes() for name in names_in(folder) if name != "config"
        )


@pytest.mark.parametrize("mounted", [False])
@pytest.mark.parametrize("code", CODES[:3], ids=lambda code: errno.errorcode[code])
def test_a_file_that_is_begun_is_there_whole_or_not_at_all(
    code: int, mounted: bool, folder: Path, key: str, faulty: FaultyOs
) -> None:
    path = folder / "config"
    with faulty.watching():
        ksm_storage.open_storage(path, keys=[key]).set("url", NEW)
    steps = len(faulty.calls)

    for step in range(steps):
        path.unlink(missing_ok=True)
        failed = False
        with faulty.watching(at=step, act=fail(code)):
            try:
                ksm_storage.open_storage(path, keys=[key]).set("url", NEW)
            except KsmStorageError:
                failed = True
        absent = failed and not _stands(faulty, step)
        assert path.exists() is not absent, f"call {step}: {faulty.calls[step]}"

    ksm_storage.open_storage(path, keys=[key]).set("url", "last")
    assert ksm_storage.open_storage(path).get("url") == "last"
    assert names_in(folder) == ["config"]


def _failed(storage: EncryptedStorage) -> bool:
    try:
        storage.set("url", NEW)
    except KsmStorageError:
        return True
    return False
