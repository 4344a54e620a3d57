"""A change of keys happens wholly or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core.configkeys import ConfigKeys

import ksm_storage
from ksm_storage.errors import PermissionDeniedError, StorageError, UnavailableError
from tests.regressions_of_others.full_disk import no_room
from tests.regressions_of_others.services import Aws
from tests.unit.storage.fixtures import CONFIG, names_in, write_plain
from tests.unit.storage.planted import Counted

ONE, TWO = "counted://one", "counted://two"


def test_secrets_manager_1188_a_failed_key_change_leaves_a_file_that_opens(
    folder: Path, counted: Counted
) -> None:
    """There, a failed change left the old key with the new key's algorithm, and no key opened the
    next save; here, the open storage saves on under the old key.
    """
    path = folder / "config"
    storage = ksm_storage.open_storage(path, keys=[ONE])
    storage.save_storage(CONFIG)

    with pytest.raises(UnavailableError):
        ksm_storage.rewrap(path, replace={ONE: "counted://down"})
    storage.set("hostname", "keepersecurity.eu")

    assert ksm_storage.open_storage(path, keys=[ONE]).get("hostname") == "keepersecurity.eu"


def test_storage_1_1_0_a_key_that_may_not_decrypt_is_not_changed_to(
    folder: Path, aws: Aws, official_aws: Any
) -> None:
    """There, ``change_key`` to a key that may encrypt and not decrypt returns success and the file
    is lost; here, each new key must unwrap before the file is replaced.
    """
    from ksm_storage_emulators.aws_kms.identities import allow

    old, new = aws.new_key(), aws.new_key()
    aws.call_as(aws.new_user(allow("kms:*", on=[old]), allow("kms:Encrypt", on=[new])))

    official = official_aws(old, write_plain(folder / "official"))
    assert official.change_key(new) is True
    with pytest.raises(Exception, match="AccessDenied"):
        official_aws(new, folder / "official")

    ours = write_plain(folder / "ours")
    ksm_storage.protect(ours, [old])
    before = ours.read_bytes()
    with pytest.raises(PermissionDeniedError) as caught:
        ksm_storage.rewrap(ours, replace={f"aws-kms://{old}": f"aws-kms://{new}"})
    assert caught.value.permission == "kms:Decrypt"
    assert ours.read_bytes() == before


def test_secrets_manager_1015_a_failed_save_leaves_memory_as_the_disk(
    folder: Path, key: str
) -> None:
    """There, memory was ahead of the file after a failed save; here, both hold the old value."""
    path = folder / "config"
    storage = ksm_storage.open_storage(path, keys=[key])
    storage.save_storage(CONFIG)
    before = path.read_bytes()

    with no_room(), pytest.raises(StorageError):
        storage.set("hostname", "keepersecurity.eu")

    assert storage.get(ConfigKeys.KEY_HOSTNAME) == CONFIG["hostname"]
    assert path.read_bytes() == before
    assert names_in(folder) == ["config"]


def test_secrets_manager_1187_an_outage_is_not_taken_for_a_damaged_file(
    folder: Path, counted: Counted
) -> None:
    """There, a KMS that was out of reach at the first encryption was told as a damaged
    configuration; here, it is an error that says to try again, and the file stays as it is.
    """
    path = write_plain(folder / "config")
    before = path.read_bytes()
    counted.fail_with("Unavailable")

    with pytest.raises(UnavailableError) as caught:
        ksm_storage.open_storage(path, keys=[ONE])

    assert caught.value.retryable
    assert path.read_bytes() == before
