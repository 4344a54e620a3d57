"""A pytest plugin: the fixture ``keeper_vault`` gives a test a vault with records of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ksm_storage.engine import InMemoryKeyValueStorage

    from .testing import LocalVault

# Imported inside the functions: pytest loads this module in every run, with the fixture or without.

RecordFields = Mapping[str, Any]
MakeVault = Callable[[Mapping[str, RecordFields]], "TestVault"]


@dataclass(frozen=True, slots=True)
class TestVault:
    """Hold what a test needs to reach its records.

    Attributes:
        hostname: Where the server is.
        ca_file: The CA to trust; ``REQUESTS_CA_BUNDLE`` names it while the test runs.
        uids: The uid of each record, by title.
        config: The configuration of a bound client device, by its JSON names.
    """

    __test__ = False  # for pytest, which takes the name for that of a test

    hostname: str
    ca_file: str
    uids: Mapping[str, str]
    config: Mapping[str, str] = field(repr=False)

    def storage(self) -> InMemoryKeyValueStorage:
        """Return the configuration as a storage, for ``SecretsManager(config=...)``."""
        from ksm_storage.engine import InMemoryKeyValueStorage

        return InMemoryKeyValueStorage(dict(self.config))


@pytest.fixture(scope="session")
def keeper_vault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVault]:
    """Run one empty vault for the whole run."""
    from .testing import running_vault

    with running_vault(tmp_path_factory.mktemp("keeper-vault")) as vault:
        yield vault


@pytest.fixture
def keeper_vault(keeper_vault_server: LocalVault, monkeypatch: pytest.MonkeyPatch) -> MakeVault:
    """Return a function that makes an application with records and a bound device for it.

    It takes the records by title, each as its fields by type: ``{"Database": {"login": "app",
    "password": "x"}}``. Each call makes an application that sees only its own records. Anything
    else is a SettingsError.
    """
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", keeper_vault_server.ca_file)

    def make(records: Mapping[str, RecordFields]) -> TestVault:
        return _fill(keeper_vault_server, records)

    return make


def _fill(vault: LocalVault, records: Mapping[str, RecordFields]) -> TestVault:
    from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager
    from ksm_storage.wire.base64_forms import new_uid

    from .owner.access import create_application
    from .owner.records import add_records

    app, made = new_uid(), _records(records)
    with vault.owner() as owner:
        create_application(owner, app)
        uids = add_records(owner, made, app=app)
    config = InMemoryKeyValueStorage()
    SecretsManager(
        token=vault.new_client(app=app).token,
        hostname=vault.address,
        config=config,
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
        ca_file=vault.ca_file,
    ).bind()
    named = dict(zip(records, uids, strict=True))
    return TestVault(vault.address, vault.ca_file, named, config.read_storage())


def _records(records: Mapping[str, RecordFields]) -> list[dict[str, Any]]:
    from ksm_storage.errors import SettingsError

    if isinstance(records, Mapping) and all(isinstance(one, Mapping) for one in records.values()):
        return [_record(*item) for item in records.items()]
    raise SettingsError(
        "the records of keeper_vault must be a dict of titles to dicts of fields",
        hint='for example {"Database": {"login": "app", "password": "x"}}',
    )


def _record(title: str, values: RecordFields) -> dict[str, Any]:
    fields = [
        {"type": name, "value": value if isinstance(value, list) else [value]}
        for name, value in values.items()
    ]
    return {"title": title, "type": "login", "fields": fields}
