"""The pytest fixture: records from a dict, for each test its own."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ksm_storage_local_vault.pytest_plugin import MakeVault

from ksm_storage.engine import SecretsManager
from ksm_storage.errors import SettingsError


def test_a_test_reads_the_records_that_it_gave(keeper_vault: MakeVault) -> None:
    vault = keeper_vault({"Database": {"login": "app", "password": "correct horse"}})

    manager = SecretsManager(config=vault.storage())

    assert manager.get_notation("keeper://Database/field/password") == "correct horse"
    assert manager.get_secrets([vault.uids["Database"]])[0].field("login", single=True) == "app"


def test_the_official_sdk_reads_them_too(keeper_vault: MakeVault) -> None:
    from keeper_secrets_manager_core import SecretsManager as OfficialManager

    vault = keeper_vault({"Queue": {"password": "two"}})

    (found,) = OfficialManager(config=vault.storage()).get_secrets()

    assert found.password == "two"


def test_each_call_makes_records_that_no_other_sees(keeper_vault: MakeVault) -> None:
    keeper_vault({"Mine": {"password": "one"}})
    other = keeper_vault({"Yours": {"url": ["https://a", "https://b"]}})

    (found,) = SecretsManager(config=other.storage()).get_secrets()

    assert found.title == "Yours"
    assert found.field("url") == ["https://a", "https://b"]


def test_a_device_is_made_in_under_a_second(keeper_vault: MakeVault) -> None:
    started = time.process_time()
    for _ in range(5):
        keeper_vault({f"Record {number}": {"password": "x"} for number in range(10)})

    # The processor's time of five, so that a neighbour on the machine does not count.
    assert time.process_time() - started < 5


def test_the_vault_shows_no_secret(keeper_vault: MakeVault) -> None:
    vault: Any = keeper_vault({})

    assert vault.config["privateKey"] not in repr(vault)


@pytest.mark.parametrize("records", [{"a": 5}, {"a": None}, [], None, {5: {}}, {"": {}}])
def test_what_holds_no_records_is_refused(keeper_vault: Any, records: Any) -> None:
    with pytest.raises(SettingsError):
        keeper_vault(records)
