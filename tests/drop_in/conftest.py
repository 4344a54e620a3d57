"""A local vault with all that the programs read, and a device that is bound to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.owner.access import create_application, revoke_client
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_file, add_records
from ksm_storage_local_vault.server_settings import ThrottleRule
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, running_vault

from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager

LOGIN, TYPED, CARD, ADDRESS, LINKED, IN_FOLDER = (letter * 22 for letter in "LTCDNF")
RECORDS: list[dict[str, Any]] = [
    {
        "uid": LOGIN,
        "title": "My Login",
        "type": "login",
        "fields": [
            {"type": "login", "value": ["alice"]},
            {"type": "password", "value": ["correct horse"]},
            {"type": "url", "value": []},
            {"type": "oneTimeCode", "value": ["otpauth://totp/A:b?secret=JBSWY3DPEHPK3PXP"]},
        ],
    },
    {
        "uid": TYPED,
        "title": "Typed",
        "type": "databaseCredentials",
        "notes": "owned by the platform team",
        "fields": [{"type": "password", "value": ["not shown as the password"]}],
        "custom": [
            {"type": "text", "label": "environment", "value": ["prod", "test"]},
            {"type": "phone", "label": "Phones", "value": [{"number": "1"}, {"number": "2"}]},
            {"type": "name", "value": [{"first": "Ann", "last": "Lee"}]},
            {"type": "cardRef", "label": "", "value": [CARD]},
            {"type": "addressRef", "label": "", "value": [ADDRESS]},
        ],
    },
    {
        "uid": CARD,
        "title": "Card",
        "type": "bankCard",
        "fields": [
            {"type": "paymentCard", "value": [{"cardNumber": "4111"}]},
            {"type": "pinCode", "value": ["0000"]},
            {"type": "addressRef", "value": [ADDRESS]},
        ],
    },
    {
        "uid": ADDRESS,
        "title": "Home",
        "type": "address",
        "fields": [{"type": "address", "value": [{"street1": "Main St", "city": "Springfield"}]}],
    },
    {
        "uid": LINKED,
        "title": "Linked",
        "type": "pamMachine",
        "fields": [],
        "links": [
            {
                "recordUid": LINKED,
                "path": "meta",
                "data": {
                    "version": 1,
                    "rotateOnTermination": True,
                    "allowedSettings": {"rotation": True, "connections": False, "aiEnabled": True},
                },
            },
            {"recordUid": LOGIN, "path": None, "data": {"is_admin": True, "belongs_to": True}},
            {"recordUid": LINKED, "path": "ai_settings", "data": {"version": "v1.0.0"}},
        ],
    },
    {"uid": IN_FOLDER, "title": "In folder", "type": "login", "fields": [], "folder": "Shared"},
    {"title": "twice", "type": "login", "fields": [{"type": "login", "value": ["1"]}]},
    {"title": "twice", "type": "login", "fields": [{"type": "login", "value": ["2"]}]},
]


@dataclass(frozen=True)
class Place:
    """Hold a running vault, the uids in it, and the configuration of a bound device."""

    vault: LocalVault
    folder: str
    child: str
    config: str

    def names(self) -> dict[str, Any]:
        """Return the names that a program is given."""
        return {
            "LOGIN": LOGIN,
            "TYPED": TYPED,
            "CARD": CARD,
            "ADDRESS": ADDRESS,
            "LINKED": LINKED,
            "IN_FOLDER": IN_FOLDER,
            "FOLDER": self.folder,
            "CHILD": self.child,
            "HOST": self.vault.address,
            "SERVER": {
                "server_public_key": self.vault.server_public_key,
                "server_public_key_id": self.vault.server_public_key_id,
            },
            "new_token": lambda: self.vault.new_client().token,
            "revoke": self._revoke,
            "throttle": self._throttle,
        }

    def _revoke(self, client_id: str) -> None:
        with self.vault.owner() as owner:
            revoke_client(owner, client_id)

    def _throttle(self, requests: int, status: int) -> None:
        with self.vault.owner() as owner:
            owner.throttle = ThrottleRule(throttle_next=requests, status=status)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        yield _filled(vault)


def _filled(vault: LocalVault) -> Place:
    with vault.owner() as owner:
        create_application(owner, APP_NAME)
        folder = add_folder(owner, "Shared", app=APP_NAME).folder_uid
        child = add_folder(owner, "Child", app=APP_NAME, parent="Shared").folder_uid
        add_records(owner, RECORDS, app=APP_NAME)
        add_file(owner, bytes(range(256)), app=APP_NAME, record_uid=LOGIN, name="all.bin")
    config = InMemoryKeyValueStorage()
    SecretsManager(
        vault.new_client().token,
        vault.address,
        config=config,
        ca_file=Path(vault.ca_file),
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
    ).bind()
    return Place(vault, folder, child, json.dumps(config.read_storage()))
