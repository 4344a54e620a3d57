"""A file is read whole, up to a bound, and a save in place that is going on is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ksm_storage.errors import StorageError
from ksm_storage.files import replacement
from ksm_storage.files.reading import MAX_READ_BYTES, read_file, signature_of


def test_a_file_of_many_parts_comes_back_as_it_is(folder: Path) -> None:
    content = bytes(range(1, 256)) * 1000
    (folder / "config").write_bytes(content)

    found = read_file(str(folder / "config"))

    assert found.content == content
    assert found.signature.identity == signature_of(os.stat(folder / "config")).identity
    assert found.status.st_size == len(content)
    assert not found.unfinished


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(folder: Path) -> None:
    path = folder / "config"
    path.write_bytes(b"x" * MAX_READ_BYTES)
    assert len(read_file(str(path)).content) == MAX_READ_BYTES

    path.write_bytes(b"x" * (MAX_READ_BYTES + 1))
    with pytest.raises(StorageError, match=f"{str(path)!r} is larger than 8388608 bytes"):
        read_file(str(path))


def test_what_is_no_file_is_told_with_its_path(folder: Path) -> None:
    with pytest.raises(StorageError, match=f"{str(folder)!r} is not a regular file"):
        read_file(str(folder))


@pytest.mark.parametrize(
    ("raw", "content", "unfinished"),
    [
        (b"old\0new" + replacement._footer(b"new"), b"new", False),
        (b"old\0new" + replacement._footer(b"other"), b"old", True),
        (b"old\0", b"old", True),
        (b"old", b"old", False),
    ],
    ids=["journal", "broken journal", "beginning", "settled"],
)
def test_of_a_save_that_is_going_on_it_is_told_which_version_was_read(
    folder: Path, raw: bytes, content: bytes, unfinished: bool
) -> None:
    (folder / "config").write_bytes(raw)

    found = read_file(str(folder / "config"))

    assert (found.content, found.unfinished) == (content, unfinished)
    assert found.signature.identity == signature_of(os.stat(folder / "config")).identity
    assert found.status.st_size == len(raw)
