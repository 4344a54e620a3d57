"""Draw tables as bars: an SVG without a library, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.tables import Row, Table, shown

WIDTH = 800
_LABELS = 312
_BARS = 300
_LINE = 22
_STYLE = """
text{font:13px system-ui,sans-serif;fill:#24292f}
.title{font-weight:600}.value{fill:#57606a}
.floor{fill:#8c959f}.ours{fill:#1a7f37}.official{fill:#bf8700}.other{fill:#0969da}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.value{fill:#9da7b3}
.floor{fill:#6e7681}.ours{fill:#3fb950}.official{fill:#d29922}.other{fill:#58a6ff}}
"""


def drawn(tables: Sequence[Table]) -> str:
    """Return the SVG of the tables, one below the other, each scaled to its longest bar."""
    parts: list[str] = []
    top = 0
    for table in tables:
        parts.append(_text(0, top + 16, f"{table.title} ({table.unit})", "title"))
        top += _LINE + 2
        longest = max(row.value for row in table.rows) or 1
        for row in table.rows:
            parts += _bar(table, row, top, row.value / longest)
            top += _LINE
        top += 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        f'width="{WIDTH}" height="{top}" role="img">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>\n"])


def _bar(table: Table, row: Row, top: int, share: float) -> Iterator[str]:
    length = max(1, round(share * _BARS))
    value = shown(row.value)
    ratio = table.ratio(row)
    yield _text(8, top + 14, row.name, "label")
    yield (
        f'<rect class="{row.kind}" x="{_LABELS}" y="{top + 3}" '
        f'width="{length}" height="{_LINE - 7}"/>'
    )
    words = f"{value} {table.unit}" + (f", {ratio}x" if ratio else "")
    yield _text(_LABELS + length + 6, top + 14, words, "value")


def _text(x: int, y: int, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'
