"""The recipe for a container image: what it promises of user, root file system and content."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ksm_storage
from tests.cli.command import COMMAND, key_file

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples/container/Containerfile"
USER = 10001


def instructions() -> list[str]:
    """Return the instructions of the recipe, each on one line and without comments."""
    text = re.sub(r"^\s*#.*\n", "", RECIPE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", "").splitlines() if line.strip()]


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")

    done = subprocess.run([program, str(RECIPE)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_last_stage_runs_as_a_number_and_copies_one_folder() -> None:
    lines = instructions()
    last = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM")) :]

    assert f"USER {USER}:{USER}" in last
    assert [line for line in last if line.startswith(("COPY", "ADD", "RUN"))] == [
        "COPY --from=build /opt/ksm-storage /opt/ksm-storage"
    ]


def test_every_package_is_pinned() -> None:
    installs = [line for line in instructions() if "pip install" in line]

    assert installs
    for call in re.findall(r"pip install [^&]*", " && ".join(installs)):
        assert "--constraint constraints.txt" in call
        # What builds our wheels runs code, too; pip itself is not built.
        assert "--build-constraint constraints.txt" in call or call.split()[-1] == "pip"


@pytest.mark.parametrize(("extras", "wanted"), [("", "."), ("aws,hsm", ".[aws,hsm]")])
def test_an_image_is_built_with_extras_and_without(extras: str, wanted: str) -> None:
    (line,) = (line for line in instructions() if "pip install" in line)
    argument = re.findall(r'"(\..*?)"', line)[0]

    done = subprocess.run(
        ["sh", "-c", f'printf %s "{argument}"'],
        env={"EXTRAS": extras},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == wanted


def test_what_the_first_stage_copies_is_there() -> None:
    kept = re.findall(r"^!(.+)$", (ROOT / ".containerignore").read_text(), re.MULTILINE)

    assert kept
    assert [name for name in kept if not (ROOT / name).exists()] == []


@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the root file system read-only")
@pytest.mark.parametrize("command", ["check", "get"])
def test_a_command_works_without_a_home_on_a_read_only_root(tmp_path: Path, command: str) -> None:
    sealed = tmp_path / "client-config.json"
    sealed.write_text('{"clientId": "CID", "hostname": "keepersecurity.eu"}')
    ksm_storage.protect(sealed, [key_file(tmp_path)])
    for path in (sealed, tmp_path / "app.key"):
        os.chown(path, USER, USER)
    words = [COMMAND, command, str(sealed), *(["hostname"] if command == "get" else [])]
    # Reading needs no permission here: the interpreter of a test may lie in root's home.
    read = "-all,+dac_read_search"
    script = (
        "mount --make-rprivate / && mount -o remount,bind,ro / && cd / && "
        'if touch "$0" 2> /dev/null; then exit 99; fi; '
        f"exec setpriv --reuid {USER} --regid {USER} --clear-groups "
        f'--inh-caps {read} --ambient-caps {read} --no-new-privs "$@"'
    )

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(tmp_path / "written"), *words],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert ("ok " if command == "check" else "keepersecurity.eu") in done.stdout
