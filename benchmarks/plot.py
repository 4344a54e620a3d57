"""Draw tables as bars or curves: an SVG without a library, readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.tables import Row, Table, shown

WIDTH = 800
_LABELS = 312
_BARS = 300
_LINE = 22
_STYLE = """
text{font:13px system-ui,sans-serif;fill:#24292f}
.title{font-weight:600}.value{fill:#57606a}.end{text-anchor:end}.middle{text-anchor:middle}
.floor{fill:#8c959f}.ours{fill:#1a7f37}.official{fill:#bf8700}.other{fill:#0969da}
.axis{stroke:#d0d7de;fill:none}path.curve{fill:none;stroke-width:2}
path.floor{stroke:#8c959f}path.ours{stroke:#1a7f37}
path.official{stroke:#bf8700}path.other{stroke:#0969da}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.value{fill:#9da7b3}.axis{stroke:#3d444d}
.floor{fill:#6e7681}.ours{fill:#3fb950}.official{fill:#d29922}.other{fill:#58a6ff}
path.floor{stroke:#6e7681}path.ours{stroke:#3fb950}
path.official{stroke:#d29922}path.other{stroke:#58a6ff}}
"""
# The field of a curve: where it begins and ends.
_LEFT, _RIGHT, _HEIGHT = 70, 520, 170


def drawn(tables: Sequence[Table]) -> str:
    """Return the SVG of the tables, one below the other, each on a scale of its own."""
    parts: list[str] = []
    top = 0
    for table in tables:
        title = f"{table.title} ({table.unit}{f', by {table.along}' if table.along else ''})"
        parts.append(_text(0, top + 16, title, "title"))
        top += _LINE + 2
        if table.along:
            parts += _curves(table, top)
            top += _HEIGHT + _LINE
        else:
            parts += _bars(table, top)
            top += _LINE * len(table.rows)
        top += 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        f'width="{WIDTH}" height="{top}" role="img">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>\n"])


def _bars(table: Table, top: int) -> Iterator[str]:
    longest = max(row.value for row in table.rows) or 1
    for number, row in enumerate(table.rows):
        y = top + number * _LINE
        length = max(1, round(row.value / longest * _BARS))
        value, ratio = shown(row.value), table.ratio(row)
        yield _text(8, y + 14, row.name, "label")
        yield (
            f'<rect class="{row.kind}" x="{_LABELS}" y="{y + 3}" '
            f'width="{length}" height="{_LINE - 7}"/>'
        )
        words = f"{value} {table.unit}" + (f", {ratio}x" if ratio else "")
        yield _text(_LABELS + length + 6, y + 14, words, "value")


def _curves(table: Table, top: int) -> Iterator[str]:
    """Draw each series as a line; both axes are logarithmic."""
    points = sorted({row.at or 0 for row in table.rows})
    values = [row.value for row in table.rows]
    # At least one power of ten, or noise would look like a mountain.
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(at: float) -> int:
        share = math.log(at / points[0]) / math.log(points[-1] / points[0])
        return round(_LEFT + share * (_RIGHT - _LEFT))

    def y(value: float) -> int:
        return round(top + _HEIGHT - (math.log10(value) - low) / (high - low) * _HEIGHT)

    for power in range(low, high + 1):
        level = y(10.0**power)
        yield f'<path class="axis" d="M{_LEFT} {level}H{_RIGHT}"/>'
        yield _text(_LEFT - 6, level + 4, f"{10.0**power:g}", "value end")
    for at in points:
        yield f'<path class="axis" d="M{x(at)} {top}V{top + _HEIGHT}"/>'
        yield _text(x(at), top + _HEIGHT + 16, f"{at:,.0f}", "value middle")
    taken = -_LINE
    for rows in sorted(table.series().values(), key=lambda rows: -rows[-1].value):
        line = " L".join(f"{x(row.at or 0)} {y(row.value)}" for row in rows)
        yield f'<path class="curve {rows[0].kind}" d="M{line}"/>'
        # Labels of curves that end close together stand below each other.
        taken = max(y(rows[-1].value) + 4, taken + 16)
        yield _text(_RIGHT + 8, taken, _label(rows), rows[0].kind)


def _label(rows: Sequence[Row]) -> str:
    return f"{rows[0].name}: {shown(rows[-1].value)}"


def _text(x: int, y: int, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'
