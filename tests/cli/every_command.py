"""Lines that call every command with its usual success and failure, and all that they need."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ksm_storage
from ksm_storage.cli.pages import all_commands
from ksm_storage.providers.recovery_key import RecoveryKey
from ksm_storage.providers.recovery_secret import sheet, words_of
from tests.cli.command import key_file

if TYPE_CHECKING:
    from ksm_storage_local_vault.testing import LocalVault

SNAPSHOTS = Path(__file__).with_name("snapshots")
LINES = (SNAPSHOTS / "script").read_text(encoding="utf-8").splitlines()
LEAVES = [
    context.command_path.partition(" ")[2]
    for context in all_commands()
    if not hasattr(context.command, "commands")
]
_CONFIG = '{"clientId": "CID", "appKey": "APP", "hostname": "keepersecurity.eu"}'
_SECRET = bytes(range(32))


def leaf_of(line: str) -> str:
    """Return the command that a line calls."""
    return next((leaf for leaf in LEAVES if f"{line} ".startswith(f"{leaf} ")), "")


def fill(folder: Path) -> None:
    """Write the files that the script names into the current folder."""
    for name in ("plain.json", "more.json", "c.json", "d.json", "locked.json", "safe.json"):
        Path(name).write_text(_CONFIG)
    Path("profiles.json").write_text(_ini("prod") + _ini("stage"))
    Path("keeper.ini").write_text(_ini("moved"))
    Path("template").write_text("password = {{ keeper://alone/field/password }}\n")
    Path("broken-template").write_text("url = {{ keeper://no such record/field/password }}\n")
    Path("value").write_text("keepersecurity.com")
    Path("policy.toml").write_text("[[trust]]\nstatus = { minimum_recipients = 2 }\n")
    Path("record.json").write_text(json.dumps({**_record("printer"), "uid": "A" * 22}))
    Path("records.json").write_text(json.dumps([_record("router"), _record("switch")]))
    Path("script").write_text("\n".join(LINES))
    Path("words").write_text(sheet(words_of(_SECRET)))
    recovery = f"recovery://{RecoveryKey.of('office', _SECRET).public_id}"
    for name in ("c.json", "d.json", "profiles.json"):
        ksm_storage.protect(name, [_key_in(folder, "app")])
    ksm_storage.protect("safe.json", [_key_in(folder, "app"), recovery])
    ksm_storage.protect("locked.json", [_key_in(folder, "gone")])
    Path("gone.key").unlink()
    log = (SNAPSHOTS / "audit.log").read_text()
    Path("audit.log").write_text(log)
    Path("altered.log").write_text(log.replace("c.json", "d.json", 1))


def _record(title: str) -> dict[str, Any]:
    testing = pytest.importorskip("ksm_storage_local_vault.testing")
    made: dict[str, Any] = testing.login_record(title, "swordfish")
    return made


def share(vault: LocalVault, app: str) -> Mapping[str, str]:
    """Share records with devices that the script binds; return what differs each time."""
    access = pytest.importorskip("ksm_storage_local_vault.owner.access")
    records = pytest.importorskip("ksm_storage_local_vault.owner.records")
    code = {"type": "oneTimeCode", "value": ["otpauth://totp/A:b?secret=JBSWY3DPEHPK3PXP"]}
    alone = _record("alone")
    with vault.owner() as owner:
        access.create_application(owner, app)
        alone = {**alone, "fields": [*alone["fields"], code]}
        uids = records.add_records(owner, [alone, _record("db")], app=app)
        file = records.add_file(owner, b"content", app=app, record_uid=uids[0], name="all.bin")
        clients = [access.add_client(owner, app=app) for _ in range(2)]
    for name, client in zip(("token", "token-2"), clients, strict=True):
        Path(name).write_text(client.token)
    options = ("--hostname", vault.address, "--ca-file", "ca.pem")
    key = ("--server-key", vault.server_public_key, "--server-key-id", vault.server_public_key_id)
    Path("server").write_text("\n".join([*options, *key]))
    shutil.copy2(vault.ca_file, "ca.pem")
    made = [*uids, file, *(client.client_id for client in clients)]
    return {each: chr(ord("K") + number) * len(each) for number, each in enumerate(made)}


def _ini(name: str) -> str:
    return f"[{name}]\nclientid = CID\nappkey = APP\nhostname = keepersecurity.eu\n"


def _key_in(place: Path, name: str) -> str:
    key_file(place)
    if name != "app":
        shutil.copy2(place / "app.key", place / f"{name}.key")
    return f"key-file://{place}/{name}.key"
