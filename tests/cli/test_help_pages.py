"""The reference page and the manual pages say what the commands say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from ksm_storage.cli.pages import all_commands, reference_page, write_man_pages
from tests.cli.command import run

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = list(all_commands())


def test_the_reference_page_holds_each_commands_help() -> None:
    page = (DOCS / "cli-reference.md").read_text(encoding="utf-8")

    assert page == reference_page(), "the help texts have changed: run 'make reference'"


def test_a_help_text_of_the_page_is_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    printed = run("recovery", "create", "--help").stdout

    assert f"```text\n{printed}```\n" in reference_page()


def test_no_line_of_a_help_text_is_cut_short() -> None:
    assert re.findall(r"^  \S.*\.\.\.$", reference_page(), flags=re.MULTILINE) == []


def test_every_command_is_described_in_the_documentation() -> None:
    described = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    top = [context.info_name for context in COMMANDS if context.parent is COMMANDS[0]]

    assert [name for name in top if not re.search(rf"^## .*\b{name}\b", described, re.M)] == []


def test_every_command_has_a_manual_page_with_all_its_options(tmp_path: Path) -> None:
    write_man_pages(tmp_path)

    for context in COMMANDS:
        name = context.command_path.replace(" ", "-")
        page = (tmp_path / f"{name}.1").read_text(encoding="utf-8").replace("\\-", "-")
        missing = [
            option
            for parameter in context.command.get_params(context)
            if isinstance(parameter, click.Option)
            for option in parameter.opts
            if option not in page
        ]
        assert missing == [], name
        assert f"\n.SH NAME\n{name} - " in page


def test_the_manual_lists_the_exit_codes_of_the_documentation(tmp_path: Path) -> None:
    write_man_pages(tmp_path)
    page = (tmp_path / "ksm-storage.1").read_text(encoding="utf-8")
    table = (
        (DOCS / "cli.md").read_text(encoding="utf-8").split("## Exit codes")[1].split("\n## ")[0]
    )
    documented = re.findall(r"\d+", " ".join(re.findall(r"^\| ([\d, ]+) \|", table, re.M)))

    assert re.findall(r"^\\fB(\d+)\\fR$", page, re.M) == documented


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff reads manual pages")
def test_a_manual_page_reads_without_a_warning(tmp_path: Path) -> None:
    pages = write_man_pages(tmp_path)

    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tascii", *pages], capture_output=True, timeout=60, check=True
    )

    assert done.stderr == b""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ksm-storage pro", {"profile", "protect", "providers"}),
        ("ksm-storage secret n", {"notation"}),
        ("ksm-storage export --format k", {"k8s-secret"}),
        ("ksm-storage check --p", {"--parallel"}),
    ],
)
def test_a_word_is_completed(
    monkeypatch: pytest.MonkeyPatch, words: str, completed: set[str]
) -> None:
    monkeypatch.setenv("_KSM_STORAGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))

    done = run()

    assert {line.partition(",")[2] for line in done.stdout.split()} == completed
