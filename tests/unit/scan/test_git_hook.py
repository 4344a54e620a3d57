"""A commit with a plain configuration is refused by a real git."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HOOK = ROOT / "examples/pre-commit/pre-commit"
PLAIN = '{"clientId": "CID", "privateKey": "PRIVATE"}'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with the hook of the example."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.email", "dev@example.com")
    git(tmp_path, "config", "user.name", "Dev")
    shutil.copy(HOOK, tmp_path / ".git/hooks/pre-commit")
    return tmp_path


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_a_plain_configuration_is_not_committed_and_not_shown(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    git(repository, "add", ".")

    done = git(repository, "commit", "-qm", "x")

    assert done.returncode != 0
    assert "c.json:1: plain configuration (JSON)" in done.stdout + done.stderr
    assert "PRIVATE" not in done.stdout + done.stderr


def test_what_is_staged_counts_and_not_what_lies_in_the_folder(repository: Path) -> None:
    (repository / "c.json").write_text(PLAIN)
    git(repository, "add", ".")
    (repository / "c.json").write_text("{}")

    assert git(repository, "commit", "-qm", "x").returncode != 0


def test_a_token_is_not_committed(repository: Path) -> None:
    token = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    (repository / "with a space.sh").write_text(f"ksm init US:{token}\n")
    git(repository, "add", ".")

    done = git(repository, "commit", "-qm", "x")

    assert done.returncode != 0
    assert token not in done.stdout + done.stderr


def test_anything_else_is_committed(repository: Path) -> None:
    (repository / "README.md").write_text("Hello.\n")
    git(repository, "add", ".")

    done = git(repository, "commit", "-qm", "x")

    assert done.returncode == 0, done.stderr


def test_the_definition_for_pre_commit_names_the_command() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())

    assert (hook["id"], hook["entry"], hook["language"]) == (
        "ksm-storage-scan",
        "ksm-storage scan",
        "python",
    )


def test_pre_commit_itself_refuses_through_the_definition(tmp_path: Path) -> None:
    pre_commit = shutil.which("pre-commit", path=str(Path(sys.executable).parent))
    if pre_commit is None:
        pytest.skip("pre-commit is not installed")
    git(tmp_path, "init", "-q")
    # "system" in the place of "python": nothing is fetched, the installed command is run.
    definition = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    hooks = [{**hook, "language": "system"} for hook in definition]
    config = {"repos": [{"repo": "local", "hooks": hooks}]}
    (tmp_path / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "c.json").write_text(PLAIN)
    git(tmp_path, "add", ".")

    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [pre_commit, "run", "--all-files"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "c.json:1: plain configuration (JSON)" in done.stdout
    assert "PRIVATE" not in done.stdout
