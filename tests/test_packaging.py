"""Each wheel is whole: built, installed alone into an empty environment, imported and run."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from ksm_storage import __version__
from release.build import SUMS, projects

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PROJECTS = projects()

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300), pytest.mark.xdist_group("packaging")]


def named(project: Path) -> str:
    return str(tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"])


def package_of(project: Path) -> str:
    return named(project).replace("-", "_")


@pytest.fixture(scope="session")
def wheelhouse(
    tmp_path_factory: pytest.TempPathFactory, outside_environment: Mapping[str, str]
) -> Path:
    """Build what a release has, with the build backend that is installed here."""
    return built(tmp_path_factory.mktemp("dist"), outside_environment)


def built(folder: Path, environment: Mapping[str, str]) -> Path:
    """Build all distributions into an empty folder, as ``make dist`` does."""
    command = [sys.executable, "-m", "release.build", str(folder)]
    run(command, {**environment, "PYTHONPATH": str(ROOT)}, folder=ROOT)
    return folder


def test_two_builds_give_equal_bytes(
    wheelhouse: Path, tmp_path: Path, outside_environment: Mapping[str, str]
) -> None:
    again = built(tmp_path / "again", outside_environment)

    first = {path.name: path.read_bytes() for path in wheelhouse.iterdir()}
    assert {path.name: path.read_bytes() for path in again.iterdir()} == first


def test_the_hashes_are_those_of_the_files(wheelhouse: Path) -> None:
    lines = (wheelhouse / SUMS).read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}

    files = {path.name: path for path in wheelhouse.iterdir() if path.name != SUMS}
    assert sums == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }
    assert len(sums) == 3 * len(PROJECTS)


@pytest.mark.parametrize("project", PROJECTS, ids=named)
def test_an_sbom_lists_what_a_distribution_requires(wheelhouse: Path, project: Path) -> None:
    path = next(wheelhouse.glob(f"{package_of(project)}-*.cdx.json"))
    sbom = json.loads(path.read_text())

    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == named(project)
    listed = {component["name"]: component["version"] for component in sbom["components"]}
    pins = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    assert "cryptography" in listed
    assert {name for name in listed if name not in pins} <= {named(each) for each in PROJECTS}


@pytest.mark.parametrize("project", PROJECTS, ids=named)
def test_the_metadata_name_no_folder_and_the_one_version(wheelhouse: Path, project: Path) -> None:
    with zipfile.ZipFile(wheel_of(wheelhouse, project)) as wheel:
        name = next(each for each in wheel.namelist() if each.endswith("/METADATA"))
        metadata = wheel.read(name).decode()

    assert " @ file:" not in metadata
    assert f"\nVersion: {__version__}\n" in metadata


@pytest.mark.parametrize("project", PROJECTS, ids=named)
def test_a_wheel_holds_its_package_its_licence_and_nothing_else(
    wheelhouse: Path, project: Path
) -> None:
    package = package_of(project)
    with zipfile.ZipFile(wheel_of(wheelhouse, project)) as wheel:
        files = wheel.namelist()

    tops = {name.partition("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {package}
    assert f"{package}/py.typed" in files
    assert any(name.endswith("/licenses/LICENSE") for name in files)
    assert [name for name in files if "tests" in name.split("/")] == []


@pytest.mark.parametrize("project", PROJECTS, ids=named)
def test_a_wheel_works_alone_in_an_empty_environment(
    wheelhouse: Path, project: Path, tmp_path: Path, outside_environment: Mapping[str, str]
) -> None:
    if project.name == "tpm2" and find_spec("tpm2_pytss") is None:
        pytest.skip("tpm2-pytss cannot be built on this system")
    python = empty_environment(tmp_path / "venv", outside_environment)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    needed = [str(wheel_of(wheelhouse, project))]
    if project not in (ROOT, ROOT / "emulators"):
        needed.append(str(wheel_of(wheelhouse, ROOT)))
    run([*install, "--constraint", str(CONSTRAINTS), *needed], outside_environment)

    for module in modules(wheelhouse, project):
        run([str(python), "-I", "-c", f"import {module}"], outside_environment)
    if project.name != "emulators":
        program = str(python.parent / "ksm-storage")
        assert "ksm-storage" in run([program, "--version"], outside_environment)
        assert "key-file" in run([program, "providers"], outside_environment)
        assert ("vault" in run([program, "--help"], outside_environment)) == (
            project.name == "local_vault"
        )


def test_the_command_of_a_distribution_that_is_missing_names_it(
    wheelhouse: Path, tmp_path: Path, outside_environment: Mapping[str, str]
) -> None:
    python = empty_environment(tmp_path / "venv", outside_environment)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    core = str(wheel_of(wheelhouse, ROOT))
    run([*install, "--constraint", str(CONSTRAINTS), core], outside_environment)

    done = subprocess.run(
        [str(python.parent / "ksm-storage"), "vault", "serve"], capture_output=True, text=True
    )

    assert done.returncode == 3
    assert "pip install '.[vault]'" in done.stderr


def test_a_command_of_a_distribution_that_is_installed_runs(
    wheelhouse: Path, tmp_path: Path, outside_environment: Mapping[str, str]
) -> None:
    python = empty_environment(tmp_path / "venv", outside_environment)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    needed = [str(wheel_of(wheelhouse, project)) for project in (ROOT, ROOT / "local_vault")]
    run([*install, "--constraint", str(CONSTRAINTS), *needed], outside_environment)
    program = str(python.parent / "ksm-storage")

    shown = run([program, "vault", "serve", "--help"], outside_environment)

    assert "Run the server until SIGTERM" in shown


def test_an_extra_in_a_clone_installs_the_plugin_beside_it(
    tmp_path: Path, outside_environment: Mapping[str, str]
) -> None:
    python = empty_environment(tmp_path / "venv", outside_environment)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    pinned = ["--constraint", str(CONSTRAINTS), "--build-constraint", str(CONSTRAINTS)]
    run([*install, *pinned, f"{ROOT}[hsm]"], outside_environment)

    assert "pkcs11" in run([str(python.parent / "ksm-storage"), "providers"], outside_environment)


def modules(wheelhouse: Path, project: Path) -> list[str]:
    """Return what is imported: the package, and the plugin's module that the core would load."""
    with zipfile.ZipFile(wheel_of(wheelhouse, project)) as wheel:
        texts = [
            wheel.read(name).decode()
            for name in wheel.namelist()
            if name.endswith("entry_points.txt")
        ]
    group = "[ksm_storage.providers]"
    found = [package_of(project)]
    for text in texts:
        if group in text:
            section = text.partition(group)[2].partition("[")[0]
            found += [line.partition("=")[2].strip() for line in section.splitlines() if line]
    return found


def wheel_of(wheelhouse: Path, project: Path) -> Path:
    return next(wheelhouse.glob(f"{package_of(project)}-*.whl"))


def empty_environment(folder: Path, environment: Mapping[str, str]) -> Path:
    # Without its own pip it is made in a moment; this environment's pip installs into it.
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], environment)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def run(command: list[str], environment: Mapping[str, str], *, folder: Path | None = None) -> str:
    clean = {name: value for name, value in environment.items() if folder or name != "PYTHONPATH"}
    done = subprocess.run(
        command, env=clean, cwd=folder or ROOT.anchor, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
