"""Print how long commands take, beside the official ``ksm`` and, where they are, age and sops.

``ksm`` and ksm-storage read the same configuration of the same local vault. ``ksm`` knows the
keys of Keeper's own servers only: it is started by two lines that add the vault's key to its
table. age and sops do other things than ksm-storage: they stand here for what a program costs
that seals and opens a file and is not written in Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, running_vault

import ksm_storage
from benchmarks.interleaved import NOTE, Program, measure, python
from benchmarks.services.key_file import running
from benchmarks.services.service import CONFIG, sealed, variables
from benchmarks.tables import Table, publish
from ksm_storage.engine import SecretsManager

OURS = str(Path(sys.executable).with_name("ksm-storage"))
OTHERS = ("age", "sops")
_OFFICIAL = """
import sys
from keeper_secrets_manager_core import keeper_globals
keeper_globals.keeper_public_keys[{key_id!r}] = {key!r}
from keeper_secrets_manager_cli.__main__ import main
sys.argv[0] = "ksm"
main()
"""


def tables() -> Iterator[Table]:
    """Return the tables of what starts, seals, opens, and reads a secret."""
    missing = [name for name in OTHERS if shutil.which(name) is None]
    if missing:
        print(f"\nnot measured: not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as (service, _):
        folder = Path(name)
        yield from _starts(folder, service.key)
        yield from _files(folder, service.key)
        yield from _secrets(folder, service.key)


def _starts(folder: Path, key: str) -> Iterator[Table]:
    ours = str(sealed(folder / "start.json", key))
    programs = [
        python("python -c pass", "floor", "pass"),
        Program("ksm-storage --version", "ours", (OURS, "--version")),
        Program("ksm-storage inspect", "ours", (OURS, "inspect", ours)),
        Program("ksm-storage get", "ours", (OURS, "get", ours, "hostname")),
        Program("ksm version", "official", (_ksm(), "version")),
        *(Program(f"{name} --version", "other", (name, "--version")) for name in _installed()),
    ]
    yield _table("start", programs)


def _files(folder: Path, key: str) -> Iterator[Table]:
    plain, age_key = folder / "plain.json", folder / "age.key"
    plain.write_text(json.dumps(CONFIG))
    protected = folder / "protected.json"
    again: Callable[[], object] = lambda: shutil.copyfile(plain, protected)  # noqa: E731
    ours = sealed(folder / "sealed.json", key)
    sealing = [
        Program(
            "ksm-storage protect", "ours", (OURS, "protect", str(protected), "--key", key), again
        )
    ]
    opening = [Program("ksm-storage export", "ours", (OURS, "export", str(ours), "--reveal"))]
    if shutil.which("age-keygen"):
        subprocess.run(["age-keygen", "-o", age_key], check=True, capture_output=True)
        to = _output("age-keygen", "-y", str(age_key)).strip()
        if "age" in _installed():
            out = str(folder / "sealed.age")
            sealing.append(Program("age", "other", ("age", "-r", to, "-o", out, str(plain))))
            opening.append(Program("age -d", "other", ("age", "-d", "-i", str(age_key), out)))
        if "sops" in _installed():
            os.environ["SOPS_AGE_KEY_FILE"] = str(age_key)
            out = str(folder / "sops.json")
            sops = ("sops", "--age", to, "--output", out, "-e", str(plain))
            sealing.append(Program("sops -e", "other", sops))
            opening.append(Program("sops -d", "other", ("sops", "-d", out)))
    yield _table("seal a file", sealing)
    yield _table("open a file", opening)


def _secrets(folder: Path, key: str) -> Iterator[Table]:
    with running_vault(folder) as vault:
        uid = _filled(vault)
        path = folder / "device.json"
        storage = ksm_storage.open_storage(path, keys=[key])
        _bind(vault, storage)
        exported = folder / "exported.json"
        subprocess.run(
            [OURS, "export", path, "--output", exported], check=True, capture_output=True
        )
        official = _OFFICIAL.format(key_id=vault.server_public_key_id, key=vault.server_public_key)
        ksm = (sys.executable, "-c", official, "secret")
        ours = (OURS, "secret")
        ca = ("--ca-file", vault.ca_file)
        wanted = {
            "KSM_CONFIG": exported.read_text(),
            "REQUESTS_CA_BUNDLE": vault.ca_file,
        }
        with variables(wanted):
            one = [
                Program(
                    "ksm secret get --field password",
                    "official",
                    (*ksm, "get", "--uid", uid, "--field", "password"),
                ),
                Program(
                    "ksm-storage secret get --field password",
                    "ours",
                    (*ours, "get", str(path), uid, "--field", "password", "--reveal", *ca),
                ),
            ]
            every = [
                Program("ksm secret list", "official", (*ksm, "list")),
                Program("ksm-storage secret list", "ours", (*ours, "list", str(path), *ca)),
            ]
            yield _table("one field of a record", one)
            yield _table("list 100 records", every)


def _filled(vault: LocalVault) -> str:
    record = {"title": "a record", "fields": [{"type": "password", "value": ["x" * 20]}]}
    with vault.owner() as owner:
        create_application(owner, APP_NAME)
        folder = add_folder(owner, "Shared", app=APP_NAME)
        return add_records(owner, [record] * 100, app=APP_NAME, folder=folder.folder_uid)[0]


def _bind(vault: LocalVault, storage: object) -> None:
    manager = SecretsManager(
        token=vault.new_client().token,
        hostname=vault.address,
        config=storage,  # type: ignore[arg-type]
        server_public_key=vault.server_public_key,
        server_public_key_id=vault.server_public_key_id,
        ca_file=vault.ca_file,
    )
    assert manager.get_secrets()


def _table(title: str, programs: list[Program]) -> Table:
    rows = measure(programs)
    return Table("commands", f"Command: {title}", "ms", rows, rows[0].name, NOTE)


def _installed() -> list[str]:
    return [name for name in OTHERS if shutil.which(name)]


def _ksm() -> str:
    return str(Path(sys.executable).with_name("ksm"))


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    publish(tables(), sys.argv[1:])
