"""The Ansible plugins of Keeper, unchanged: behind a relay, and straight at the vault through exec.

Both are among the test requirements; elsewhere the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ksm_storage_local_vault.testing import LocalVault, SampleContent

from ksm_storage.relay.grant import Grant
from tests.relay.relay import Relay

Done = subprocess.CompletedProcess[str]
Play = Callable[..., Done]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a function that runs a playbook of some tasks with Keeper's plugins."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("ansible-playbook", path=beside)
    found = find_spec("keeper_secrets_manager_ansible")
    if program is None or found is None or found.origin is None:
        pytest.skip("ansible-core or keeper-secrets-manager-ansible is not installed")
    plugins = Path(found.origin).parent / "plugins"

    def played(
        tasks: list[dict[str, Any]],
        *,
        ca_file: str,
        config: str | None = None,
        through: Sequence[str] = (),
    ) -> Done:
        playbook = tmp_path / "site.json"
        hosts: dict[str, Any] = {"hosts": "localhost", "connection": "local"}
        hosts["gather_facts"] = False
        if config is not None:
            hosts["vars"] = {"keeper_config": config}
        playbook.write_text(json.dumps([{**hosts, "tasks": tasks}]))
        environment = {
            **os.environ,
            "ANSIBLE_ACTION_PLUGINS": str(plugins / "action"),
            "ANSIBLE_LIBRARY": str(plugins / "modules"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
            "REQUESTS_CA_BUNDLE": ca_file,
        }
        command = [*through, program, str(playbook)]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return played


def read(uid: str, into: Path) -> list[dict[str, Any]]:
    return [
        {"keeper_get": {"uid": uid, "field": "password"}, "register": "given"},
        {"ansible.builtin.copy": {"content": "{{ given.value }}", "dest": str(into)}},
    ]


def test_a_playbook_reads_its_record_and_no_other(
    play: Play, relay: Relay, content: SampleContent, tmp_path: Path
) -> None:
    config = relay.encoded(relay.add("ansible", Grant(records=("alone",))))
    other = {"keeper_get": {"uid": content.in_folder, "field": "password"}}

    done = play(
        [*read(content.alone, tmp_path / "given"), other], config=config, ca_file=relay.ca_file
    )

    assert (tmp_path / "given").read_text() == "password-of-alone", done.stdout + done.stderr
    assert done.returncode != 0
    assert content.in_folder in done.stdout + done.stderr
    assert "password-of-in-folder" not in done.stdout + done.stderr


def test_a_playbook_reads_from_the_vault_through_exec(
    play: Play, vault: LocalVault, content: SampleContent, sealed: Path, tmp_path: Path
) -> None:
    # Keeper's plugin takes the variable as it stands; only a fact holds what the lookup gave.
    fact = {"keeper_config": "{{ lookup('env', 'KEEPER_CONFIG') }}"}
    through = [sys.executable, "-m", "ksm_storage", "exec", str(sealed), "--as", "KEEPER_CONFIG"]

    done = play(
        [
            {"ansible.builtin.set_fact": fact, "no_log": True},
            *read(content.in_folder, tmp_path / "given"),
        ],
        ca_file=vault.ca_file,
        through=[*through, "--"],
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "given").read_text() == "password-of-in-folder"
