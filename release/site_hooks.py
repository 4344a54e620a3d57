"""What mkdocs calls while it builds the site."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_SHIM = "https://unpkg.com/iframe-worker/shim"
_LOCAL_SHIM = "assets/iframe-worker.js"
_CONSOLE = re.compile(r"^```console$.*?^```$", re.DOTALL | re.MULTILINE)
_STANDARD_ERROR = re.compile(r"^! ?", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_CELLS = re.compile(r"(?<!\\)\|")
# Who pastes a message wants its cure before every other page that has some of its words.
_BOOSTS = {
    r"docs/it-does-not-open": 4.0,
    r"docs/errors": 2.0,
    r"docs/plugins/.*#message-": 0.2,
    r"docs/decisions/": 0.1,
}
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


class Message(NamedTuple):
    """One row of a table of messages: its anchor on the page, its words and its cure."""

    anchor: str
    words: str
    cure: str


def messages(markdown: str) -> list[Message]:
    """Return the rows of a page's tables of messages, to be found by the words of each."""
    return [message for _, message in _messages(markdown.splitlines())]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leave out what only the tests need, and give each row of a table of messages an anchor."""
    text = _CONSOLE.sub(lambda fence: _STANDARD_ERROR.sub("", fence[0]), _COMMENT.sub("", markdown))
    lines = text.splitlines()
    for number, message in _messages(lines):
        lines[number] = lines[number].replace("| ", f'| <a id="{message.anchor}"></a>', 1)
    return "\n".join(lines) + "\n"


def on_post_build(config: Any, **_: Any) -> None:
    """Fetch nothing at run time, and put each page as plain Markdown beside its HTML."""
    source, site = Path(config["docs_dir"]), Path(config["site_dir"])
    for page in source.rglob("*.md"):
        copy = site / page.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, copy)
    # The theme's search loads this from a server where a page is opened as a file.
    for html in site.rglob("*.html"):
        text = html.read_text(encoding="utf-8")
        depth = len(html.relative_to(site).parts) - 1
        html.write_text(text.replace(_SHIM, "../" * depth + _LOCAL_SHIM), encoding="utf-8")
    _index_messages(source, site / "search/search_index.json")


def _index_messages(source: Path, index: Path) -> None:
    # The search weighs titles: without entries of their own, messages in a table come after
    # every page that has one of their words in a heading.
    content = json.loads(index.read_text(encoding="utf-8"))
    entries = content["docs"]
    for page in sorted(source.glob("docs/**/*.md")):
        location = page.relative_to(source).with_suffix(".html").as_posix()
        entries += [
            {"location": f"{location}#{anchor}", "title": words, "text": f"<p>{cure}</p>"}
            for anchor, words, cure in messages(page.read_text(encoding="utf-8"))
        ]
    for pattern, boost in _BOOSTS.items():
        for entry in entries:
            if re.match(pattern, entry["location"]):
                entry["boost"] = boost
    index.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _messages(lines: list[str]) -> Iterator[tuple[int, Message]]:
    """Yield the number of each row, and its message."""
    column, count = None, 0
    for number, line in enumerate(lines):
        cells = [_plain(cell) for cell in _CELLS.split(line)[1:-1]] if line[:1] == "|" else []
        if not cells:
            column = None
        elif column is None:
            # The words are in the first column, or behind the class of the error.
            column = {"message": 0, "error": 1}.get(cells[0], -1)
        elif column >= 0 and set(cells[0]) != {"-"}:
            count += 1
            yield number, Message(f"message-{count}", cells[column], cells[-1])


def _plain(cell: str) -> str:
    return _LINK.sub(r"\1", cell).replace("`", "").replace("\\|", "|").replace("…", "").strip()
