"""Records that people made in a shared folder, shortcuts and throttling, from a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager as Official
from keeper_secrets_manager_core.exceptions import KeeperError
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage as OfficialInMemory
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.server_settings import ErrorStyle, ThrottleRule
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, login_record, running_vault

from ksm_storage.engine import (
    BackoffPolicy,
    ClientUnknownError,
    InMemoryKeyValueStorage,
    SecretsManager,
)

FLAT, SHORTCUT = "F" * 22, "S" * 22


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        with vault.owner() as owner:
            create_application(owner, APP_NAME)
            for name in ("Shared", "Second"):
                add_folder(owner, name, app=APP_NAME)
            records = [
                {**login_record("flat", "a"), "uid": FLAT, "folder": "Shared", "flat": True},
                {
                    **login_record("shortcut", "b"),
                    "uid": SHORTCUT,
                    "folder": "Shared",
                    "shortcuts": ["Second"],
                },
            ]
            add_records(owner, records, app=APP_NAME)
        yield vault


@pytest.fixture
def connect(running: LocalVault, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Bind a device of either client."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", running.ca_file)

    def make(kind: Any, config: Any, **arguments: Any) -> Any:
        return kind(
            running.new_client().token,
            running.address,
            config=config,
            server_public_key=running.server_public_key,
            server_public_key_id=running.server_public_key_id,
            **arguments,
        )

    return make


def test_the_engine_reads_a_flat_record_that_the_official_client_loses(connect: Any) -> None:
    ours = connect(SecretsManager, InMemoryKeyValueStorage())
    theirs = connect(Official, OfficialInMemory())

    assert ours.get_secrets([FLAT])[0].password == "a"
    assert ours.get_notation("flat/field/password") == "a"
    assert [r.title for r in theirs.get_secrets([FLAT])] == []


def test_a_shortcut_is_one_record_that_the_official_client_lists_twice(connect: Any) -> None:
    ours = connect(SecretsManager, InMemoryKeyValueStorage())
    theirs = connect(Official, OfficialInMemory())

    assert [r.uid for r in ours.get_secrets()].count(SHORTCUT) == 1
    assert ours.get_notation("shortcut/field/password") == "b"
    assert [r.uid for r in theirs.get_secrets()].count(SHORTCUT) == 2
    with pytest.raises(ValueError, match="multiple records"):
        theirs.get_notation("shortcut/field/password")


@pytest.mark.parametrize("status", [403, 429])
def test_throttling_is_waited_out(running: LocalVault, connect: Any, status: int) -> None:
    waits: list[float] = []
    backoff = BackoffPolicy(sleep=waits.append, uniform=lambda low, high: 0.0)
    ours = connect(SecretsManager, InMemoryKeyValueStorage(), backoff=backoff)
    ours.bind()
    with running.owner() as owner:
        owner.throttle = ThrottleRule(throttle_next=2, status=status, retry_after_seconds=12)

    assert ours.get_secrets([FLAT])[0].title == "flat"

    assert waits == [12, 12]


@pytest.mark.parametrize("wording", [0, 1, 2])
def test_a_refusal_is_told_in_every_wording(
    running: LocalVault, connect: Any, wording: int
) -> None:
    with running.owner() as owner:
        owner.error_style = ErrorStyle(wording=wording)
    unknown = "A" * 42 + "E"

    with pytest.raises(ClientUnknownError) as caught:
        SecretsManager(
            unknown,
            running.address,
            config=InMemoryKeyValueStorage(),
            server_public_key=running.server_public_key,
            server_public_key_id=running.server_public_key_id,
        ).get_secrets()

    assert isinstance(caught.value, KeeperError)
