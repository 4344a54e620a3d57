"""A file that must be an envelope is read whole, though it is read without its lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksm_storage.errors import (
    ContinuityError,
    DecryptionError,
    EnvelopeError,
    KsmStorageError,
    StorageError,
)
from ksm_storage.files.reading import FileContent
from ksm_storage.storage.snapshot import read_envelope, with_envelope
from tests.unit.storage.fixtures import write_plain


def test_an_envelope_is_read_as_it_is(sealed: Path) -> None:
    assert read_envelope(str(sealed)).content == sealed.read_bytes()


def test_a_damaged_envelope_is_refused(sealed: Path) -> None:
    sealed.write_bytes(sealed.read_bytes()[:-3])

    with pytest.raises(EnvelopeError):
        read_envelope(str(sealed))


def test_a_plain_configuration_is_told_as_one(folder: Path) -> None:
    path = write_plain(folder / "config")

    with pytest.raises(EnvelopeError) as caught:
        read_envelope(str(path))

    assert caught.value.message.startswith(f"{str(path)!r} is a plain configuration")


def test_a_missing_file_is_for_the_caller_to_judge(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_envelope(str(folder / "missing"))


def test_an_empty_file_is_told_as_an_interrupted_save(folder: Path) -> None:
    (folder / "config").touch()

    with pytest.raises(StorageError, match="is empty: an interrupted save"):
        read_envelope(str(folder / "config"))


def test_of_a_save_in_place_that_was_interrupted_the_version_before_is_used(sealed: Path) -> None:
    before = sealed.read_bytes()
    sealed.write_bytes(before + b"\0" + before[:100])

    assert with_envelope(str(sealed), lambda found: found.content) == before


def test_behind_an_interrupted_save_in_place_a_newer_version_is_looked_for(sealed: Path) -> None:
    before = sealed.read_bytes()
    newer = before.replace(b"\nrevision: 1\n", b"\nrevision: 2\n")
    sealed.write_bytes(before + b"\0" + before[:100])
    seen: list[bytes] = []

    def use(found: FileContent) -> str:
        seen.append(found.content)
        if found.content == newer:
            return "opened"
        # Another process saves, and remembers the revision, before this one has looked.
        sealed.write_bytes(newer)
        raise ContinuityError("older than one that was seen")

    assert with_envelope(str(sealed), use) == "opened"
    assert seen == [before, newer]


ERRORS = [EnvelopeError("half"), DecryptionError("half"), StorageError("half")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_fails_on_half_of_a_save_is_done_with_the_whole(
    error: KsmStorageError, sealed: Path
) -> None:
    whole = sealed.read_bytes()
    half = whole.replace(b"\nrevision: 1\n", b"\nrevision: 2\n")
    sealed.write_bytes(half)
    seen: list[bytes] = []

    def use(found: FileContent) -> str:
        seen.append(found.content)
        if found.content == whole:
            return "opened"
        # The save ends while this half of it is looked at.
        sealed.write_bytes(whole)
        raise error

    assert with_envelope(str(sealed), use) == "opened"
    assert seen == [half, whole]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_fails_on_a_file_that_stays_as_it_is_is_not_tried_again(
    error: KsmStorageError, sealed: Path
) -> None:
    seen: list[bytes] = []

    def use(found: FileContent) -> str:
        seen.append(found.content)
        raise error

    with pytest.raises(type(error)) as caught:
        with_envelope(str(sealed), use)

    assert caught.value is error
    assert seen == [sealed.read_bytes()]
