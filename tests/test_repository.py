"""The repository keeps its own rules: sizes, names, pins, decisions."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 400
# Of code: docs/decisions/0110-direct-calls.md.
MAX_DIRECT_CALL_LINES = 150

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
LOCK_FILES = {
    *("poetry.lock", "Pipfile.lock", "uv.lock", "pdm.lock", "pylock.toml", "package-lock.json"),
    *("yarn.lock", "pnpm-lock.yaml", "Cargo.lock", "go.sum", "npm-shrinkwrap.json"),
}
# Split up, so that this file does not hold what it looks for.
INDEX_ADDRESS = re.compile(
    r"(--(extra-)?index-url|--find-links|--trusted-host|--hash=|PIP_INDEX"
    r"|files\.pythonhosted" + r"\.org|https?://[\w.:-]+/(simple|artifactory|nexus)\b)"
)
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(root|work|home/(?!user\b|app\b|ksm\b)\w+|Users/\w+)/")
PIN = re.compile(r"[a-z0-9-]+==[0-9][\w.]*")


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files that are committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def python_sources() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.stat().st_size]


def is_test(path: Path) -> bool:
    return "tests" in path.relative_to(ROOT).parts


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="ignore")


def named(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_a_source_file_has_at_most_400_lines() -> None:
    sources = [path for path in python_sources() if not is_test(path)]

    assert named([path for path in sources if len(text_of(path).splitlines()) > MAX_LINES]) == []


def test_the_direct_call_of_a_cloud_has_at_most_150_lines_of_code() -> None:
    # What gets credentials for it alone counts as well.
    names = ("direct_call.py", "instance_principal.py")
    lines: Counter[str] = Counter()
    for path in ROOT.glob("plugins/*/ksm_storage_*/*.py"):
        if path.name in names:
            lines[path.parts[-3]] += len(lines_of_code(text_of(path)))

    assert set(lines) == {"aws_kms", "azure_kv", "gcp_kms", "oracle_kv"}
    assert {cloud for cloud in lines if lines[cloud] > MAX_DIRECT_CALL_LINES} == set()


def lines_of_code(source: str) -> set[int]:
    """Return the numbers of the lines that are not blank, and not only a comment or a docstring."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines: set[int] = set()
    for token in tokens:
        if token.type not in silent | {tokenize.ENDMARKER}:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        if ast.get_docstring(node) is not None:
            first = node.body[0]
            lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def test_a_source_file_is_named_by_its_job() -> None:
    # The one module whose name programs for the official package import.
    sources = [path for path in python_sources() if path != ROOT / "ksm_storage/engine/utils.py"]

    assert named([path for path in sources if path.stem in FORBIDDEN_NAMES]) == []


def test_a_module_says_what_it_is_for() -> None:
    silent = [path for path in python_sources() if not ast.get_docstring(ast.parse(text_of(path)))]

    assert named(silent) == []


def test_annotations_are_not_evaluated() -> None:
    statement = "from __future__ import annotations"
    # The emulators are a project of their own, with a style of their own.
    ours = [path for path in python_sources() if path.relative_to(ROOT).parts[0] != "emulators"]
    sources = [path for path in ours if len(ast.parse(text_of(path)).body) > 1]

    assert named([path for path in sources if statement not in text_of(path)]) == []


def test_there_is_no_lock_file() -> None:
    assert named([path for path in tracked() if path.name in LOCK_FILES]) == []


@pytest.mark.parametrize("pattern", [INDEX_ADDRESS, MACHINE_PATH], ids=["index", "path"])
def test_no_file_names_a_package_index_or_a_path_of_one_machine(pattern: re.Pattern[str]) -> None:
    sources = [path for path in tracked() if path != Path(__file__)]

    assert named([path for path in sources if pattern.search(text_of(path))]) == []


@pytest.mark.parametrize(
    "text",
    [
        "pip install --index-url x",
        "--find-links=y",
        "https://packages.example.com/simple/",
        "a==1 --hash=sha256:00",
    ],
)
def test_an_index_address_is_noticed(text: str) -> None:
    assert INDEX_ADDRESS.search(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("open('/home/" + "alice/key')", True),
        ("cd /root" + "/project", True),
        ("key-file:///home/user/app.key", False),
        ("~/work/x", False),
        ("tests/root/x", False),
    ],
)
def test_a_path_of_one_machine_is_noticed(text: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is found


def test_constraints_are_exact_versions_in_order_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert [pin for pin in pins if not PIN.fullmatch(pin)] == []
    assert pins == sorted(pins, key=lambda pin: pin.partition("==")[0])


def test_the_stand_ins_for_aws_are_pinned_with_all_that_they_need() -> None:
    lines = (ROOT / "plugins/aws_kms/tests/stand_ins.txt").read_text().splitlines()
    pins = [line.partition(";")[0] for line in lines if line and not line.startswith("#")]

    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+(\[full\])?==[0-9][\w.]*", pin)] == []
    # botocore is what they need and what clashes with ours.
    assert any(pin.startswith("botocore==") for pin in pins)


def test_every_decision_is_numbered_and_listed() -> None:
    folder = ROOT / "docs/decisions"
    pages = sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")
    listed = re.findall(r"\]\(([^)]+\.md)\)", (folder / "README.md").read_text())
    numbers = [page[:4] for page in pages if re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page)]

    assert len(set(numbers)) == len(pages)
    assert sorted(listed) == pages


def test_every_target_of_make_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[0].split()

    assert re.findall(r"^([a-z-]+):.* ## .+$", makefile, flags=re.MULTILINE) == phony


def test_a_script_can_be_run_and_stops_at_the_first_failure() -> None:
    scripts = [path for path in tracked() if path.parent == ROOT / "scripts"]
    scripts.append(ROOT / ".ci/run")

    assert named([path for path in scripts if not path.stat().st_mode & 0o100]) == []
    assert named([path for path in scripts if "set -euo pipefail" not in text_of(path)]) == []
