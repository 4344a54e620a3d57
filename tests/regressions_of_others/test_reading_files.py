"""What cannot be read as a configuration is refused, and never taken for an empty one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core.configkeys import ConfigKeys

import ksm_storage
from ksm_storage.errors import EnvelopeError, StorageError
from tests.regressions_of_others.services import Aws
from tests.unit.storage import forked
from tests.unit.storage.fixtures import CONFIG, names_in, new_key, write_plain
from tests.unit.storage.planted import Counted


def test_secrets_manager_1180_a_zero_length_file_is_no_empty_configuration(
    folder: Path, key: str, official_oracle: Callable[[Path], Any]
) -> None:
    """There, a file that an interrupted write left empty is taken for ``{}`` and encrypted over;
    here, it is refused and stays, so that a backup can be put in its place.
    """
    (folder / "official").touch()
    storage = official_oracle(folder / "official")
    assert storage.read_storage() == {}
    storage.set(ConfigKeys.KEY_HOSTNAME, "h")
    assert (folder / "official").stat().st_size > 0

    ours = folder / "ours"
    ours.touch()
    with pytest.raises(StorageError, match="is empty: an interrupted save"):
        ksm_storage.open_storage(ours, keys=[key])
    assert ours.stat().st_size == 0


def test_secrets_manager_1180_a_file_that_was_deleted_is_noticed(
    folder: Path, key: str, aws: Aws, official_aws: Any
) -> None:
    """There, a save after the file was deleted says "no changes" and writes nothing; here, the
    next access says that the file is gone.
    """
    path = write_plain(folder / "official")
    official = official_aws(aws.new_key(), path)
    path.unlink()
    official.set(ConfigKeys.KEY_HOSTNAME, CONFIG["hostname"])
    assert not path.exists()

    storage = ksm_storage.open_storage(folder / "ours", keys=[key])
    storage.save_storage(CONFIG)
    (folder / "ours").unlink()
    with pytest.raises(StorageError, match="ours"):
        storage.set("hostname", CONFIG["hostname"])


@pytest.fixture
def closed_folder(shared_folder: Path) -> Path:
    """Give a folder that holds a sealed file and that another user may not enter."""
    closed = shared_folder / "closed"
    closed.mkdir(mode=0o700)
    path = write_plain(closed / "config")
    ksm_storage.protect(path, keys=[new_key(shared_folder / "app.key")])
    forked.give_to_nobody(shared_folder / "app.key")
    return closed


@forked.root_only
def test_secrets_manager_1180_a_file_out_of_reach_is_not_made_anew(
    closed_folder: Path, counted: Counted
) -> None:
    """There, an error of access was taken for a missing file, which was then created; here, it is
    an error, and no key service is asked for a new DEK.
    """
    path = closed_folder / "config"
    before = path.read_bytes()

    def work() -> None:
        with pytest.raises(StorageError, match="Permission denied"):
            ksm_storage.open_storage(path, keys=["counted://one"])
        assert counted.calls == []

    assert forked.run_as_nobody(work) == 0
    assert path.read_bytes() == before
    assert names_in(closed_folder) == ["config"]


def test_secrets_manager_1132_a_read_error_is_not_an_empty_configuration(sealed: Path) -> None:
    """There, an error while reading degraded to an empty configuration, which the next save wrote;
    here, reading and writing both fail until the file can be read again.
    """
    storage = ksm_storage.open_storage(sealed)
    content = sealed.read_bytes()
    sealed.unlink()
    sealed.mkdir()

    for use in (storage.read_storage, storage.is_empty, lambda: storage.set("hostname", "h")):
        with pytest.raises(StorageError):
            use()

    sealed.rmdir()
    sealed.write_bytes(content)
    assert storage.read_storage() == CONFIG


def test_storage_1_1_0_appended_bytes_are_refused(
    sealed: Path, folder: Path, official_oracle: Callable[[Path], Any]
) -> None:
    """There, bytes behind the last part of a file are ignored; here, every byte of a file is
    accounted for, in envelopes and in the official files that become one.
    """
    path = write_plain(folder / "official")
    official_oracle(path)
    with path.open("ab") as file:
        file.write(b"appended")
    assert official_oracle(path).read_storage() == CONFIG

    with sealed.open("ab") as file:
        file.write(b"appended")
    with pytest.raises(EnvelopeError):
        ksm_storage.open_storage(sealed)
    with pytest.raises(EnvelopeError, match="trailing bytes"):
        ksm_storage.protect(path, ["oracle-kv://ocid1.key.oc1.iad.vault.key"])


def test_storage_1_1_0_is_empty_answers(
    folder: Path, key: str, official_oracle: Callable[[Path], Any]
) -> None:
    """There, the Oracle and Google storages have no ``is_empty`` of their own and answer None;
    here, it is true for a new storage and false for one that holds a value.
    """
    assert official_oracle(folder / "official").is_empty() is None

    storage = ksm_storage.open_storage(folder / "ours", keys=[key])
    assert storage.is_empty() is True
    storage.set("hostname", "h")
    assert storage.is_empty() is False
