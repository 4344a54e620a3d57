"""Each wheel is whole: built, installed alone into an empty environment, imported and run."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import Distribution, PathDistribution, distribution
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ksm_storage import __version__
from release.build import SUMS, projects

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PROJECTS = projects()

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]


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


def built(folder: Path, environment: Mapping[str, str], *, umask: str = "022") -> Path:
    """Build all distributions into an empty folder, as ``make dist`` does."""
    command = [sys.executable, "-m", "release.build", str(folder)]
    if sys.platform != "win32":
        command = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *command]
    run(command, {**environment, "PYTHONPATH": str(ROOT)}, folder=ROOT)
    return folder


def test_two_builds_give_equal_bytes_wherever_they_run(
    wheelhouse: Path, tmp_path: Path, outside_environment: Mapping[str, str]
) -> None:
    elsewhere = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7"}

    again = built(tmp_path / "again", {**outside_environment, **elsewhere}, umask="077")

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


def test_the_sboms_follow_the_schema_of_cyclonedx(wheelhouse: Path) -> None:
    schemas = Path(str(files("cyclonedx.schema").joinpath("_res")))

    def read(uri: str) -> Any:
        name = uri.rpartition("/")[2].replace(".SNAPSHOT", "")
        return json.loads((schemas / name.replace(".schema", ".SNAPSHOT.schema")).read_text())

    check = fastjsonschema.compile(read("bom-1.6.schema.json"), handlers={"http": read})

    sboms = [json.loads(path.read_text()) for path in wheelhouse.glob("*.cdx.json")]
    for sbom in sboms:
        check(sbom)
    assert len(sboms) == len(PROJECTS)
    with pytest.raises(fastjsonschema.JsonSchemaException):
        check({**sboms[0], "serialNumber": "none"})


@pytest.mark.parametrize("project", PROJECTS, ids=named)
def test_the_version_stands_in_one_place(project: Path) -> None:
    settings = tomllib.loads((project / "pyproject.toml").read_text())

    assert "version" in settings["project"]["dynamic"]
    path = project / settings["tool"]["hatch"]["version"]["path"]
    assert path.resolve() == ROOT / "ksm_storage/__init__.py"


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
    wheelhouse: Path, project: Path, alone: Callable[[Path], Path]
) -> None:
    if project.name == "tpm2" and find_spec("tpm2_pytss") is None:
        pytest.skip("tpm2-pytss cannot be built on this system")
    environment = alone(project)

    imports = "; ".join(f"import {module}" for module in modules(wheelhouse, project))
    run([str(environment / "python"), "-I", "-c", imports], {})

    if project.name != "emulators":
        program = str(environment / "ksm-storage")
        assert "ksm-storage" in run([program, "--version"], {})
        assert "key-file" in run([program, "providers"], {})
        assert ("vault" in run([program, "--help"], {})) == (project.name == "local_vault")


def test_the_command_of_a_distribution_that_is_missing_names_it(
    alone: Callable[[Path], Path],
) -> None:
    program = str(alone(ROOT) / "ksm-storage")

    done = subprocess.run([program, "vault", "serve"], capture_output=True, text=True)

    assert done.returncode == 3
    assert "pip install '.[vault]'" in done.stderr


def test_a_command_of_a_distribution_that_is_installed_runs(alone: Callable[[Path], Path]) -> None:
    program = str(alone(ROOT / "local_vault") / "ksm-storage")

    shown = run([program, "vault", "serve", "--help"], {})

    assert "Run the server until SIGTERM" in shown


@pytest.mark.parametrize("missing", ["cryptography", "click"])
def test_a_requirement_that_is_not_named_is_noticed(
    wheelhouse: Path, tmp_path: Path, outside_environment: Mapping[str, str], missing: str
) -> None:
    python = empty_environment(tmp_path / "venv", outside_environment)
    install(python, [wheel_of(wheelhouse, ROOT)], outside_environment)
    link_requirements(python, [named(ROOT)], leave_out=missing)

    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        run([str(python), "-I", "-c", "import ksm_storage.cli.check"], {})


def test_an_extra_in_a_clone_installs_the_plugin_beside_it(
    tmp_path: Path, outside_environment: Mapping[str, str]
) -> None:
    python = empty_environment(tmp_path / "venv", outside_environment)
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    pinned = ["--constraint", str(CONSTRAINTS), "--build-constraint", str(CONSTRAINTS)]
    run([*command, "--no-compile", *pinned, f"{ROOT}[hsm]"], outside_environment)

    assert "pkcs11" in run([str(python.parent / "ksm-storage"), "providers"], outside_environment)


@pytest.fixture(scope="session")
def alone(
    wheelhouse: Path,
    tmp_path_factory: pytest.TempPathFactory,
    outside_environment: Mapping[str, str],
) -> Callable[[Path], Path]:
    """Return what makes the environment of a project, once, and names the folder of its programs.

    pip installs the wheels. What they name as required, and nothing else, is linked from the
    environment of the tests: to unpack the clients of four clouds again took minutes.
    """

    @functools.cache
    def environment(project: Path) -> Path:
        python = empty_environment(tmp_path_factory.mktemp("venv"), outside_environment)
        ours = [project] if project in (ROOT, ROOT / "emulators") else [project, ROOT]
        install(python, [wheel_of(wheelhouse, each) for each in ours], outside_environment)
        link_requirements(python, [named(each) for each in ours])
        return python.parent

    return environment


def install(python: Path, wheels: list[Path], environment: Mapping[str, str]) -> None:
    """Install wheels into another environment, without what they require."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    run([*command, "--no-deps", "--no-compile", *map(str, wheels)], environment)


def link_requirements(python: Path, installed: list[str], *, leave_out: str = "") -> None:
    """Link what distributions of an environment require, directly or not, from this one."""
    (site,) = (python.parents[1] / "lib").glob("python*/site-packages")
    linked = {canonicalize_name(name) for name in (*installed, leave_out)}
    wanted = [
        each for path in site.glob("*.dist-info") for each in required(PathDistribution(path))
    ]
    seen = set()
    while wanted:
        requirement = wanted.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen or (name in linked and not extras):
            continue
        seen.add((name, extras))
        found = distribution(name)
        assert requirement.specifier.contains(found.version, prereleases=True), requirement
        wanted += required(found, {"", *extras})
        if name not in linked:
            linked.add(name)
            link(found, site)


def required(found: Distribution, extras: Iterable[str] = ("",)) -> list[Requirement]:
    """Return what a distribution requires here, and for its extras."""
    every = [Requirement(text) for text in found.requires or ()]
    return [
        each
        for each in every
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def link(found: Distribution, site: Path) -> None:
    """Link the packages of a distribution; a namespace is a folder of its own, for others too."""
    for file in found.files or ():
        if ".." in file.parts:
            continue
        source = Path(str(found.locate_file("")))
        target = site
        for part in file.parts:
            source, target = source / part, target / part
            if source.is_file() or (source / "__init__.py").exists() or part.endswith(".dist-info"):
                break
            target.mkdir(exist_ok=True)
        if source.exists() and not target.exists():
            target.symlink_to(source)


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
