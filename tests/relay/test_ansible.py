"""The Ansible plugins of Keeper, unchanged, with nothing but the configuration of a relay client.

Both are among the test requirements; elsewhere the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import SampleContent

from ksm_storage.relay.grant import Grant
from tests.relay.relay import Relay


@pytest.fixture
def playbook_program() -> tuple[str, Path]:
    """Return ``ansible-playbook`` and the folder of Keeper's plugins."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("ansible-playbook", path=beside)
    plugins = find_spec("keeper_secrets_manager_ansible")
    if program is None or plugins is None or plugins.origin is None:
        pytest.skip("ansible-core or keeper-secrets-manager-ansible is not installed")
    return program, Path(plugins.origin).parent / "plugins"


def test_a_playbook_reads_its_record_and_no_other(
    playbook_program: tuple[str, Path], relay: Relay, content: SampleContent, tmp_path: Path
) -> None:
    program, plugins = playbook_program
    configuration = relay.add("ansible", Grant(records=("alone",)))
    tasks = [
        {"keeper_get": {"uid": content.alone, "field": "password"}, "register": "given"},
        {"ansible.builtin.copy": {"content": "{{ given.value }}", "dest": str(tmp_path / "given")}},
        {"keeper_get": {"uid": content.in_folder, "field": "password"}},
    ]
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"keeper_config": relay.encoded(configuration)},
        "tasks": tasks,
    }
    playbook = tmp_path / "site.json"
    playbook.write_text(json.dumps([play]))
    environment = {
        **os.environ,
        "ANSIBLE_ACTION_PLUGINS": str(plugins / "action"),
        "ANSIBLE_LIBRARY": str(plugins / "modules"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
        "REQUESTS_CA_BUNDLE": relay.ca_file,
    }

    done = subprocess.run(
        [program, str(playbook)], env=environment, cwd=tmp_path, capture_output=True, text=True
    )

    assert (tmp_path / "given").read_text() == "password-of-alone", done.stdout + done.stderr
    assert done.returncode != 0
    assert content.in_folder in done.stdout + done.stderr
    assert "password-of-in-folder" not in done.stdout + done.stderr
