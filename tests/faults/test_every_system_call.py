"""A process is killed, or refused, at every single system call of what it writes."""

from __future__ import annotations

import errno
import itertools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ksm_storage.errors import KsmStorageError, PluginNotFoundError
from ksm_storage.testing.distributions import write_distribution
from tests.faults import traced
from tests.faults.operations import OPERATIONS, Operation, Set, left_beside
from tests.long_form import LONG_FORM
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, new_key

TEMPORARY = ".client-config.json.ksm-tmp"
SAVED, FAILED, WRONG, UNSYNCED = 0, 10, 11, 12
CODES = [
    *(errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EBUSY),
    *(errno.EPERM, errno.EINTR),
]

FOR_ALL = errno.EIO

pytestmark = pytest.mark.timeout(600)
ways = pytest.mark.parametrize("mounted", [False, True], ids=["renamed", "mounted"])
# A set meets each refusal; what changes the keys meets one of them, and each in the long form.
refusals = pytest.mark.parametrize(
    ("kind", "code"),
    [
        pytest.param(kind, code, id=f"{kind.__name__.lower()}-{errno.errorcode[code]}")
        for kind in OPERATIONS
        for code in CODES
        if LONG_FORM or kind is Set or code == FOR_ALL
    ],
)
operations = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__.lower())


@pytest.fixture
def keys(key: str, tmp_path: Path) -> list[str]:
    """Name two key files."""
    traced.skip_where_not_allowed()
    return [key, new_key(tmp_path / "keys/second.key")]


@pytest.fixture
def site(tmp_path: Path) -> str:
    """Install nothing but the provider of key files, so that a search for it is short."""
    providers = {"key-file": "ksm_storage.providers.key_file"}
    write_distribution(tmp_path / "site", "only-key-files", providers=providers)
    return str(tmp_path / "site")


def where_it_is(
    mounted: bool, folder: Path, tmp_path: Path, work: Callable[[Path], object]
) -> None:
    """Do the work on a file, which is bind-mounted, so that no rename replaces it, or not."""
    path = folder / "client-config.json"
    if not mounted:
        work(path)
        return
    origin = tmp_path / "origin"
    origin.touch()
    path.touch()
    arguments = ["--bind", str(origin), str(path)]
    assert forked.run_with_mount(arguments, lambda: work(path)) == 0


@ways
@operations
def test_a_kill_at_any_system_call_leaves_the_old_version_or_the_new_one(
    kind: type[Operation], mounted: bool, folder: Path, tmp_path: Path, keys: list[str], site: str
) -> None:
    def work(path: Path) -> None:
        operation = _warmed(kind, path, keys)
        seen = []
        with _nothing_else_installed(site):
            for call in itertools.count():
                operation.restore()
                if not traced.killed_before(operation.begun(), call):
                    break
                seen.append(operation.version())
                assert left_beside(operation) <= {TEMPORARY}
                operation.use()
                assert left_beside(operation) == set()
                assert b"\0" not in path.read_bytes()

        # It is one step from the old version to the new one, and nothing goes back.
        assert seen == sorted(seen, reverse=True)
        assert set(seen) == {"old", "new"}
        assert len(seen) > 30

    where_it_is(mounted, folder, tmp_path, work)


@traced.faults_allowed
@ways
@refusals
def test_a_refusal_of_any_system_call_is_told_and_memory_is_the_disk(
    kind: type[Operation],
    code: int,
    mounted: bool,
    folder: Path,
    tmp_path: Path,
    keys: list[str],
    site: str,
) -> None:
    def work(path: Path) -> None:
        operation = _warmed(kind, path, keys)
        statuses = []
        left: list[str] = []
        with _nothing_else_installed(site):
            for call in itertools.count():
                operation.restore()
                status = traced.refused_at(_told(operation, code), call, code)
                if status is None:
                    break
                statuses.append(status)
                told = f"call {call} ended with {status}"
                assert status in (SAVED, FAILED, UNSYNCED), told
                # A folder that was not synced after the rename: the new version stands.
                assert operation.version() == ("old" if status == FAILED else "new"), told
                left += left_beside(operation)
                operation.use()
                assert left_beside(operation) == set(), told

        assert len(statuses) > 30
        assert FAILED in statuses
        # Only where the very call that removes the temporary file was refused.
        assert left == [TEMPORARY][:mounted]

    where_it_is(mounted, folder, tmp_path, work)


def _warmed(kind: type[Operation], path: Path, keys: Sequence[str]) -> Operation:
    """Return an operation that was done once, so that its calls are its own and no imports."""
    operation = kind(path, keys)
    operation.begun()()
    assert operation.version() == "new"
    operation.use()
    operation.restore()
    assert operation.version() == "old"
    return operation


@contextmanager
def _nothing_else_installed(site: str) -> Iterator[None]:
    # Whatever is to be imported was, by the operation that was done before.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [site])
        yield


def _told(operation: Operation, code: int) -> Callable[[], object]:
    """Return the operation as work that ends with what it tells its caller."""
    write = operation.begun()

    def work() -> None:
        try:
            write()
        except KsmStorageError as exc:
            if "cannot be synced" in str(exc) and os.strerror(code) in str(exc):
                assert operation.version() == "new"
                os._exit(UNSYNCED)
            assert operation.memory() in (None, CONFIG)
            # An entry point that cannot be read is not there.
            if isinstance(exc, PluginNotFoundError) or os.strerror(code) in str(exc):
                os._exit(FAILED)
            traceback.print_exc()
            os._exit(WRONG)

    return work
