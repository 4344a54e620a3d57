"""The examples for other programs run through the real command, with the programs stood in for."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import ksm_storage
from tests.cli.command import key_file

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = Path(sys.executable).parent
SHOW = 'echo "$KSM_CONFIG" | base64 -d'


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """Write a sealed file."""
    path = tmp_path / "client-config.json"
    path.write_text('{"clientId": "CID", "appKey": "QUtFWQ==", "hostname": "keepersecurity.eu"}')
    ksm_storage.protect(path, [key_file(tmp_path)])
    return path


def key_of(sealed: Path) -> str:
    """Return the key that opens the file."""
    (key,) = re.findall(r"^recipient: (.*)$", sealed.read_text(), re.MULTILINE)
    return str(key)


def assert_foreign(done: subprocess.CompletedProcess[str]) -> None:
    """Assert that a file under a key that is not pinned was refused."""
    assert done.returncode != 0
    assert done.stdout == ""
    assert "none of the keys that are trusted by $KSM_STORAGE_TRUST" in done.stderr


def run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def loaded(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text())


def test_the_unit_starts_the_application_with_the_configuration(sealed: Path) -> None:
    unit = (EXAMPLES / "systemd/app.service").read_text()
    command = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0]
    (pinned,) = re.findall(r"^Environment=KSM_STORAGE_TRUST=(.*)$", unit, re.MULTILINE)
    app = program(sealed.parent / "app", SHOW)
    here = command.replace("/usr/bin/ksm-storage", str(PROGRAMS / "ksm-storage"))
    here = here.replace("%d", str(sealed.parent)).replace("/usr/bin/app", str(app))

    done = run(here, sealed.parent, KSM_STORAGE_TRUST=f"{key_of(sealed)} {pinned}")
    foreign = run(here, sealed.parent, KSM_STORAGE_TRUST=pinned)

    assert "LoadCredential=client-config.json:" in unit
    assert '"CID"' in done.stdout, done.stderr
    assert_foreign(foreign)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    unit = (EXAMPLES / "systemd/app.service").read_text()
    # Only the two programs differ: they are not installed at these places here.
    (tmp_path / "app.service").write_text(
        unit.replace("/usr/bin/ksm-storage", str(PROGRAMS / "ksm-storage"))
    )

    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / "app.service")],
        capture_output=True,
        text=True,
    )

    assert "app.service:" not in done.stderr, done.stderr


def test_the_steps_of_the_workflow_run_the_program_with_the_configuration(sealed: Path) -> None:
    (job,) = loaded("github_actions/deploy.yml")["jobs"].values()
    steps = {step.get("name"): step for step in job["steps"]}
    program(sealed.parent / "deploy.sh", SHOW)

    scanned = run(steps["Refuse plain configurations"]["run"], sealed.parent)
    deployed = run(steps["Deploy"]["run"], sealed.parent, KEY=key_file(sealed.parent))
    foreign = run(steps["Deploy"]["run"], sealed.parent, KEY="key-file:///other.key")

    assert scanned.returncode == 0, scanned.stdout
    assert '"CID"' in deployed.stdout, deployed.stderr
    assert (foreign.returncode, foreign.stdout) == (6, "")


def test_the_playbook_finds_the_configuration_through_exec_alone(sealed: Path) -> None:
    playbook = shutil.which("ansible-playbook", path=str(PROGRAMS)) or shutil.which(
        "ansible-playbook"
    )
    if playbook is None:
        pytest.skip("ansible is not installed")
    command = f"{shlex.quote(playbook)} {shlex.quote(str(EXAMPLES / 'ansible/site.yml'))}"

    (shown,) = re.findall(r"^# Run through: (.*) -- ", (EXAMPLES / "ansible/site.yml").read_text())
    through = run(f"{shown} -- {command}", sealed.parent, KEY=key_of(sealed))
    foreign = run(f"{shown} -- {command}", sealed.parent, KEY="key-file:///other.key")
    without = run(command, sealed.parent)

    assert through.returncode == 0, through.stdout + through.stderr
    assert (foreign.returncode, foreign.stdout) == (6, "")
    assert without.returncode != 0
    assert "run this playbook through" not in through.stdout


def test_the_container_reads_the_envelope_from_the_secret(sealed: Path) -> None:
    (line,) = re.findall(
        r"^  # (base64 .*)$", (EXAMPLES / "kubernetes/deployment.yaml").read_text(), re.MULTILINE
    )
    value = run(line, sealed.parent).stdout
    secret, deployment = yaml.safe_load_all(
        (EXAMPLES / "kubernetes/deployment.yaml").read_text().replace("ENVELOPE", value)
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (source,) = container["envFrom"]
    variables = {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}
    variables |= {each["name"]: each["value"] for each in container["env"]}
    command = f"{sys.executable} {EXAMPLES / 'kubernetes/app.py'}"

    done = run(command, Path("/"), **{**variables, "KSM_STORAGE_TRUST": key_of(sealed)})
    foreign = run(command, Path("/"), **{**variables, "KSM_STORAGE_TRUST": "key-file:///other.key"})

    assert variables["KSM_STORAGE_TRUST"] == "KEY"
    assert_foreign(foreign)

    assert source["secretRef"]["name"] == secret["metadata"]["name"]
    assert done.stdout == "bound to keepersecurity.eu\n", done.stderr


def test_the_service_of_compose_reads_the_secret_file(sealed: Path) -> None:
    service = loaded("compose/compose.yaml")["services"]["app"]
    (name,) = service["secrets"]
    variables = {key: str(value) for key, value in service["environment"].items()}
    # The folder of the secrets is on this machine another one.
    variables["KSM_CONFIG_FILE"] = str(sealed.parent / name)
    command = f"{sys.executable} {EXAMPLES / 'kubernetes/app.py'}"

    done = run(command, Path("/"), **{**variables, "KSM_STORAGE_TRUST": key_of(sealed)})
    foreign = run(command, Path("/"), **{**variables, "KSM_STORAGE_TRUST": "key-file:///other.key"})

    assert service["environment"]["KSM_CONFIG_FILE"] == f"/run/secrets/{name}"
    assert variables["KSM_STORAGE_TRUST"] == "KEY"
    assert done.stdout == "bound to keepersecurity.eu\n", done.stderr
    assert_foreign(foreign)
