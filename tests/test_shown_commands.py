"""What a page shows without running it is typed as it stands: commands, options, extras, targets.

The fences that can be run are run by ``tests/test_docs.py``. The others need an account, a token,
another machine or a day; of them, and of the commands within sentences and in the files of
``examples/``, the words are checked against the programs.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ksm_storage.cli.pages import all_commands

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "release/*.md", "[!.]*/README.md", "[!.]*/*/README.md")
    for path in ROOT.glob(pattern)
    if path.name not in ("CHANGELOG.md", "cli-reference.md") and "mutants" not in path.parts
)
FILES = sorted(
    path
    for path in ROOT.glob("examples/**/*")
    if path.is_file() and path.suffix not in (".py", ".md", ".toml", ".pyc")
)

_SHOWN = ("", "text", "bash", "sh", "yaml")
_FENCE = re.compile(r"^ *```([\w-]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_OPERATOR = re.compile(r"[|&;<>()]+$|\d?>.*|#.*")
# Before a command there is nothing, an operator, a prompt, a variable or a key of YAML.
_COMMAND = re.compile(r"(?:^|[&|;($:=-]|\bexec|\bsudo|[A-Z_]+=\S*)$")
# Labels of the format have the form of a command: `ksm-storage header mac v1`.
_LABEL = re.compile(r"\s*ksm-storage (?:[a-z ]+ v1|journal)\s*$", re.MULTILINE)
# What belongs to another program's option of the same form, or stands for many.
_NO_OPTION = {"--", "--...", "--…"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def options() -> dict[str, set[str]]:
    """Return the options of each command by its path: importing them all takes a moment."""
    return {
        context.command_path: {"-h", "--help"}.union(
            *([*each.opts, *each.secondary_opts] for each in context.command.params)
        )
        for context in all_commands()
    }


@cache
def groups() -> set[str]:
    """Return the paths of the commands that have commands below them."""
    return {path.rpartition(" ")[0] for path in options() if " " in path}


EXTRAS = {
    folder.parent: set(
        settings["tool"]["hatch"].get("metadata", {}).get("hooks", {}).get("custom", {})
    )
    | set(settings["project"].get("optional-dependencies", {}))
    for folder in [ROOT / "pyproject.toml", *ROOT.glob("[!.]*/**/pyproject.toml")]
    if "mutants" not in folder.parts
    for settings in [tomllib.loads(folder.read_text(encoding="utf-8"))]
}


def shown_lines(markdown: str) -> Iterator[str]:
    """Yield the lines of the fences that are not run, and what stands as code in sentences."""
    for language, body in _FENCE.findall(markdown):
        if language in _SHOWN and not _LABEL.match(body):
            yield from body.replace("\\\n", " ").splitlines()
    for code in _INLINE.findall(_FENCE.sub("", markdown)):
        if _LABEL.match(code):
            continue
        first = code.partition(" ")[0]
        yield (
            f"ksm-storage {code}" if f"ksm-storage {first}" in options() and "--" in code else code
        )


def invocations(lines: Iterator[str] | list[str], program: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of a program, up to an operator of the shell."""
    for line in lines:
        words = (
            shlex.split(line.replace("'\"'", " "), comments=False, posix=True)
            if _whole(line)
            else line.split()
        )
        for start, word in enumerate(words):
            if word.rpartition("/")[2] == program and _COMMAND.search(" ".join(words[:start])):
                yield _arguments(words[start + 1 :])


def _whole(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError:
        return False
    return True


def _arguments(words: list[str]) -> list[str]:
    taken = []
    for word in words:
        if _OPERATOR.match(word):
            break
        taken.append(word.rstrip(";)"))
    return taken


def unknown(arguments: list[str]) -> list[str]:
    """Return the words of a call of ksm-storage that it does not know."""
    path = "ksm-storage"
    while arguments and f"{path} {arguments[0]}" in options():
        path, arguments = f"{path} {arguments[0]}", arguments[1:]
    if path in groups() and arguments and re.match("[a-z]", arguments[0]):
        return [f"{path} {arguments[0]}"]
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    given = [word.partition("=")[0] for word in own if word.startswith("--")]
    return [f"{path} {opt}" for opt in given if opt not in options()[path] | _NO_OPTION]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_shown_command_has_the_options_that_it_is_shown_with(page: Path) -> None:
    calls = invocations(shown_lines(page.read_text(encoding="utf-8")), "ksm-storage")

    assert [words for call in calls for words in unknown(call)] == []


@pytest.mark.parametrize("file", FILES, ids=named)
def test_an_example_file_uses_options_that_there_are(file: Path) -> None:
    lines = re.sub(r"[\[\]\",]", " ", file.read_text(encoding="utf-8")).replace("\\\n", " ")

    calls = invocations(lines.splitlines(), "ksm-storage")

    assert [words for call in calls for words in unknown(call)] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_an_install_line_asks_no_index_for_our_names(page: Path) -> None:
    folder = page.parent if page.is_relative_to(ROOT / "examples") else ROOT
    calls = [
        call[1:]
        for call in invocations(shown_lines(page.read_text(encoding="utf-8")), "pip")
        if call[:1] == ["install"]
    ]

    assert [call for call in calls if not leaves_the_index_alone(call, folder)] == []


def leaves_the_index_alone(arguments: list[str], folder: Path) -> bool:
    """Tell whether each of ours is installed from a folder, and what it requires of ours too."""
    wanted = [word for word in arguments if not word.startswith("-")]
    if any(re.match(r"ksm[-_]storage", word) for word in wanted):
        return False
    if "PATH/TO/ksm-storage" in wanted:
        return True
    ours: set[Path] = set()
    for word in wanted:
        path, _, extras = word.rstrip("]").partition("[")
        if path.startswith("."):
            place = (folder / path).resolve()
            if place in EXTRAS and not set(filter(None, extras.split(","))) <= EXTRAS[place]:
                return False
            ours.add(place)
    return not ours or ROOT in ours


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_target_of_make_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    calls = invocations(shown_lines(page.read_text(encoding="utf-8")), "make")

    named_here = {word for call in calls for word in call if re.fullmatch(r"[a-z-]+", word)}
    assert sorted(named_here - targets) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_policy_that_a_page_shows_is_whole(page: Path) -> None:
    for language, body in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "json":
            json.loads(body)


@pytest.mark.parametrize(
    "line",
    [
        "ksm-storage check FILE --forever",
        "ksm-storage polish FILE",
        "ksm-storage recovery burn NAME",
        "true && ksm-storage get FILE NAME --key K",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    (call,) = invocations([line], "ksm-storage")

    assert len(unknown(call)) == 1


@pytest.mark.parametrize(
    "arguments",
    ["ksm-storage", "ksm-storage-aws-kms[x]", "./local_vault[pytest]", "-e '.[test]'", ".[awz]"],
)
def test_an_install_line_that_asks_the_index_is_noticed(arguments: str) -> None:
    folder = ROOT / "examples/minimal_plugin" if "test" in arguments else ROOT

    assert not leaves_the_index_alone(shlex.split(arguments), folder)
