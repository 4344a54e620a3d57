"""The official JavaScript SDK from npm, unchanged, against the relay and against the vault."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.owner.folders import add_folder
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, LocalVault, SampleContent, login_record

from ksm_storage import open_storage
from ksm_storage.relay.grant import Grant
from tests.cli.command import run
from tests.relay.relay import Relay

FOLDER = Path(__file__).parents[1] / "javascript"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not (FOLDER / "node_modules").is_dir(),
    reason="node or the JavaScript SDK is not installed",
)


class SdkError(Exception):
    """Carry what the SDK said."""


def javascript(configuration: Mapping[str, str], ca_file: str, *step: str) -> Any:
    """Run one step with a configuration and the authority, and nothing else."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, "client.js", *step],
        cwd=FOLDER,
        env={
            "PATH": os.environ["PATH"],
            "KSM_CONFIG": json.dumps(dict(configuration)),
            "NODE_EXTRA_CA_CERTS": ca_file,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode != 0:
        raise SdkError(done.stderr)
    return json.loads(done.stdout)


@pytest.fixture(params=["relay", "vault"])
def server(
    request: pytest.FixtureRequest, relay: Relay, vault: LocalVault, sealed: Path
) -> tuple[dict[str, str], str]:
    """Return a configuration for all records, and the authority of the server that it names."""
    if request.param == "relay":
        name = f"javascript {request.node.name}"
        return relay.add(name, Grant(everything=True)), relay.ca_file
    return dict(open_storage(sealed).read_storage()), vault.ca_file


def test_records_are_read(server: tuple[dict[str, str], str], content: SampleContent) -> None:
    assert javascript(*server, "password", content.in_folder) == "password-of-in-folder"
    assert {"alone", "in child", "in folder"} <= set(javascript(*server, "titles"))


def test_a_change_a_new_record_and_a_file_go_through(
    server: tuple[dict[str, str], str], vault: LocalVault, content: SampleContent
) -> None:
    with vault.owner() as owner:
        folder = add_folder(owner, f"of javascript {server[1]}", app=APP_NAME).folder_uid
        record = {**login_record("changed by javascript", "old"), "folder": folder}
        (uid,) = add_records(owner, [record], app=APP_NAME)

    javascript(*server, "change", uid, "new")
    made = javascript(*server, "create", folder, "made by javascript")
    javascript(*server, "upload", uid, "of javascript")

    assert javascript(*server, "password", uid) == "new"
    assert javascript(*server, "download", uid) == "of javascript"
    assert isinstance(made, str)
    assert "made by javascript" in javascript(*server, "titles")


def test_exec_gives_it_the_configuration_of_a_sealed_file(
    vault: LocalVault, sealed: Path, content: SampleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", vault.ca_file)
    form = ("--as", "KSM_CONFIG", "--format", "json")

    done = run("exec", str(sealed), *form, "--", str(NODE), "client.js", "password", content.alone)

    assert (done.returncode, done.stdout) == (0, '"password-of-alone"\n'), done.stderr


def test_another_record_is_not_there(relay: Relay, content: SampleContent) -> None:
    configuration = relay.add("javascript narrow", Grant(records=("alone",)))

    assert javascript(configuration, relay.ca_file, "titles") == ["alone"]
    assert javascript(configuration, relay.ca_file, "password", content.in_folder) is None


def test_a_revoked_configuration_is_worthless(relay: Relay, content: SampleContent) -> None:
    configuration = relay.add("javascript revoked", Grant(records=("alone",)))
    relay.revoke("javascript revoked")

    with pytest.raises(SdkError, match="revoked"):
        javascript(configuration, relay.ca_file, "titles")
