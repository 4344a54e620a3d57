"""Build every distribution, its list of parts and its hash: ``python -m release.build FOLDER``.

Two builds of one commit give equal bytes: only files that git tracks are built, in folders of
their own, with the time of the commit, and a wheel is built from its source distribution.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from release.sbom import write_sbom

ROOT = Path(__file__).parents[1]
SUMS = "SHA256SUMS"
VERSION_FILE = "ksm_storage/__init__.py"

# The hooks of the backend, as a build frontend calls them, without its four processes a project:
# the wheel is built from the source distribution.
_BUILD = """
import os, sys, tarfile
from hatchling.build import build_sdist, build_wheel
target, temporary = sys.argv[1:]
name = build_sdist(target)
with tarfile.open(os.path.join(target, name)) as archive:
    archive.extractall(temporary, filter="data")
os.chdir(os.path.join(temporary, name.removesuffix(".tar.gz")))
build_wheel(target)
"""


def main() -> None:
    """Build into the folder that the command line names."""
    for path in build(Path(sys.argv[1])):
        print(path)


def projects() -> list[Path]:
    """Return the folders of the distributions, the core first."""
    patterns = (
        "plugins/*/pyproject.toml",
        "emulators/pyproject.toml",
        "local_vault/pyproject.toml",
    )
    return [ROOT, *(path.parent for pattern in patterns for path in sorted(ROOT.glob(pattern)))]


def build(folder: Path) -> list[Path]:
    """Build all distributions into an empty folder and return the files there."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"error: {str(folder)!r} is not empty")
    tracked = _git("ls-files", "-z").split("\0")[:-1]
    committed = _git("log", "-1", "--format=%ct").strip()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": committed}
    for project in projects():
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary, "source") / project.relative_to(ROOT)
            _export(project, tracked, source)
            _export_version(Path(temporary, "source"))
            command = [sys.executable, "-c", _BUILD, str(folder.absolute()), temporary]
            done = subprocess.run(
                command, cwd=source, env=environment, capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(f"error: {project.name}: {done.stdout}{done.stderr}")
    for wheel in sorted(folder.glob("*.whl")):
        write_sbom(wheel, released=datetime.fromtimestamp(int(committed), UTC))
    return [*sorted(path for path in folder.iterdir()), _write_sums(folder)]


def _export(project: Path, tracked: Sequence[str], target: Path) -> None:
    prefix = "" if project == ROOT else f"{project.relative_to(ROOT).as_posix()}/"
    # The core is built without the folders beside it: in their presence an extra names a folder.
    others = [f"{path.relative_to(ROOT).as_posix()}/" for path in projects() if path != ROOT]
    for name in tracked:
        inside = name.startswith(prefix) and (prefix or not name.startswith(tuple(others)))
        if inside and (ROOT / name).is_file():
            copy = target / name.removeprefix(prefix)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy)


def _export_version(folder: Path) -> None:
    # All distributions have the version of the core, and read it there.
    target = folder / VERSION_FILE
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(ROOT / VERSION_FILE, target)


def _write_sums(folder: Path) -> Path:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    (folder / SUMS).write_text("".join(lines))
    return folder / SUMS


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
