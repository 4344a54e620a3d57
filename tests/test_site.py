"""The search of the site finds the messages of a table, and a hit leads to the row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from release import site_hooks

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "docs/it-does-not-open.md", *ROOT.glob("docs/plugins/*.md")]
TABLE = """\
| message | do |
| --- | --- |
| `cannot reach …` | see [network](network.md) |
| `a`, `b \\| c` | retry |

| to | read |
| --- | --- |
| rotate | operations |
"""


def test_a_row_has_the_words_of_its_message_and_the_cure() -> None:
    assert site_hooks.messages(TABLE) == [
        ("message-1", "cannot reach", "see network"),
        ("message-2", "a, b | c", "retry"),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_row_that_is_found_has_its_anchor_on_the_page(page: Path) -> None:
    markdown = page.read_text(encoding="utf-8")

    shown = site_hooks.on_page_markdown(markdown)

    anchors = [message.anchor for message in site_hooks.messages(markdown)]
    assert [anchor for anchor in anchors if f'| <a id="{anchor}"></a>' not in shown] == []
    assert shown.count('<a id="message-') == len(anchors)


def test_the_index_of_the_search_has_every_message_of_the_page(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "docs").mkdir(parents=True)
    (source / "docs/it-does-not-open.md").write_text(TABLE)
    (site / "search").mkdir(parents=True)
    index = site / "search/search_index.json"
    index.write_text('{"docs": [{"location": "docs/other.html", "title": "", "text": ""}]}')

    site_hooks.on_post_build({"docs_dir": source, "site_dir": site})

    found = {each["location"]: each for each in json.loads(index.read_text())["docs"]}
    row = found["docs/it-does-not-open.html#message-1"]
    assert (row["title"], row["text"]) == ("cannot reach", "<p>see network</p>")
    assert row["boost"] > 1
    assert "boost" not in found["docs/other.html"]
