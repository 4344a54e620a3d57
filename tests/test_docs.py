"""Every example in the documentation does what the page says, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.markdown_page import Needs, NotRun, read_steps
from tests.transcript import run_steps

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md") for path in ROOT.glob(pattern))
# Where 'make mutants' worked there is a copy of the README without what it links to.
COPIES = ROOT.glob("mutants/**/README.md")
LINKING = sorted(
    {*PAGES, *ROOT.glob("*/README.md"), *ROOT.glob("[!.]*/*/README.md")}.difference(COPIES)
)

_LINK = re.compile(r"\]\(\s*<?([^)<>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_PATH = re.compile(
    r"`((?:tests|ksm_storage|plugins|benchmarks|scripts|examples|emulators)/[\w/.*-]+)`"
)
_NAVIGATION = re.compile(r"[\w/-]+\.md\b")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_NAMED = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# A page starts dozens of processes, and each command has a limit of its own.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_examples_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    steps = read_steps(page.read_text(encoding="utf-8"))
    needed = [name for step in steps if isinstance(step, Needs) for name in step.programs]
    # The examples find what is installed beside the interpreter first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    missing = [name for name in needed if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")

    run_steps(steps, name=named(page), folder=tmp_path)


@pytest.mark.parametrize(
    ("page", "step"),
    [
        pytest.param(page, step, id=f"{named(page)}:{step.line}")
        for page in PAGES
        for step in read_steps(page.read_text(encoding="utf-8"))
        if isinstance(step, NotRun)
    ],
)
def test_an_example_is_not_run_for_a_reason(page: Path, step: NotRun) -> None:
    pytest.skip(step.reason)


@pytest.mark.parametrize("page", LINKING, ids=named)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("broken", ["gone.md", "page.md#gone", "#gone", "folder/gone.md#title"])
def test_a_broken_link_is_noticed(tmp_path: Path, broken: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n[text]({broken}) and [text](#title)\n")

    assert [link for link in links(page) if not leads_somewhere(page, link)] == [broken]


def test_an_anchor_is_made_as_the_viewers_make_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# A `b-c`, (d) & e!\n\n## Same\n\n## Same\n\n<a id="own"></a>\n')

    assert anchors(page) == {"a-b-c-d--e", "same", "same-1", "own"}


def links(page: Path) -> list[str]:
    """Return the targets of a page's links, those in code left out."""
    text = re.sub(r"`[^`\n]*`", "", "\n".join(_prose(page)))
    return [link for link in _LINK.findall(text) if not re.match(r"[a-z][a-z+.-]*:", link)]


def leads_somewhere(page: Path, link: str) -> bool:
    """Tell whether the file of a link exists and has the anchor that it names."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, and those named in it."""
    found: set[str] = set()
    for line in _prose(page):
        heading = _HEADING.match(line)
        if heading:
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            number, unique = 0, slug
            while unique in found:
                number += 1
                unique = f"{slug}-{number}"
            found.add(unique)
        found.update(_NAMED.findall(line))
    return found


def _prose(page: Path) -> list[str]:
    lines, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            lines.append(line)
    return lines


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_path_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [path for path in _PATH.findall(text) if not list(ROOT.glob(path.rstrip("/")))] == []


def test_the_site_has_every_page() -> None:
    pages = {named(page) for page in PAGES if not page.match("docs/decisions/0*")}

    assert sorted(pages - set(_NAVIGATION.findall((ROOT / "mkdocs.yml").read_text()))) == []
