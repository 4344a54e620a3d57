"""A file that cannot be replaced by a rename is written where it is."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ksm_storage.errors import StorageError
from ksm_storage.files import replacement as replacing
from ksm_storage.files.reading import NO_SIGNATURE, signature_of
from ksm_storage.files.replacement import replace_file
from tests.unit.storage.fixtures import names_in

Refuse = Callable[[int], None]


@pytest.fixture(params=["no copy beside it", "no rename"])
def refuse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let each copy beside a file, or each rename over it, fail with an error."""

    def with_error(number: int) -> None:
        def refused(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        if request.param == "no rename":
            monkeypatch.setattr(os, "replace", refused)
        else:
            monkeypatch.setattr(replacing, "_created", refused)

    return with_error


@pytest.fixture
def target(folder: Path) -> Path:
    path = folder / "config"
    path.write_bytes(b"the old version")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o600, 0o600)])
def test_the_file_stays_the_same_one_and_holds_the_new_version(
    refuse: Refuse, target: Path, number: int, mode: int | None, expected: int
) -> None:
    refuse(number)
    before = target.stat()

    signature = replace_file(str(target), b"new", mode=mode)

    after = target.stat()
    assert target.read_bytes() == b"new"
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
    assert stat.S_IMODE(after.st_mode) == expected
    assert signature.identity == signature_of(after).identity
    assert names_in(target.parent) == ["config"]


def test_any_other_error_leaves_the_old_version(refuse: Refuse, target: Path) -> None:
    refuse(errno.EIO)

    with pytest.raises(StorageError, match=f"{str(target)!r}.*Input/output error") as caught:
        replace_file(str(target), b"new")

    assert isinstance(caught.value.__cause__, OSError)
    assert target.read_bytes() == b"the old version"
    assert names_in(target.parent) == ["config"]


def test_an_error_while_it_is_written_is_told_with_the_path(
    refuse: Refuse, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    refuse(errno.EBUSY)
    monkeypatch.setattr(replacing, "write_in_place", full)

    with pytest.raises(StorageError, match=f"{str(target)!r}.*No space left"):
        replace_file(str(target), b"new")


def test_a_version_that_is_not_what_was_meant_is_not_written(refuse: Refuse, target: Path) -> None:
    def deny(content: bytes) -> None:
        assert content == b"new"
        raise RuntimeError

    refuse(errno.EBUSY)

    with pytest.raises(RuntimeError):
        replace_file(str(target), b"new", verify=deny)

    assert target.read_bytes() == b"the old version"


def test_a_save_whose_signature_cannot_be_read_is_done_all_the_same(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(replacing, "signature_of", fails)

    assert replace_file(str(target), b"new") is NO_SIGNATURE
    assert target.read_bytes() == b"new"


def test_a_mode_that_cannot_be_set_does_not_undo_the_save(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    # The copy beside it cannot get its mode either, so the file is written where it is.
    monkeypatch.setattr(os, "fchmod", denied)

    replace_file(str(target), b"new", mode=0o600)

    assert target.read_bytes() == b"new"
    assert names_in(target.parent) == ["config"]


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o600, 0o600)])
def test_a_file_that_is_replaced_has_the_mode_that_is_asked_for(
    target: Path, mode: int | None, expected: int
) -> None:
    replace_file(str(target), b"new", mode=mode)

    assert stat.S_IMODE(target.stat().st_mode) == expected


def test_what_is_verified_is_what_the_disk_holds(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaging(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[:-1])

    seen: list[bytes] = []
    monkeypatch.setattr(replacing, "_write_all", damaging)

    replace_file(str(target), b"new", verify=seen.append)

    assert seen == [b"ne"]
