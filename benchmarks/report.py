"""Write measurements into docs/performance.md: plots, and tables between marker comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import aims
from benchmarks.plot import drawn
from benchmarks.tables import Row, Table, read_tables, shown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
MACHINE = RESULTS / "machine.json"
PICTURES = ROOT / "docs/pictures"
PAGE = ROOT / "docs/performance.md"

# ``measured: machine``, ``measured: aims``, or ``measured: PICTURE`` for a plot and its table.
_MARKED = re.compile(r"(<!-- measured: ([a-z_-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write() -> None:
    """Draw the plots and fill in the marked parts of the page."""
    found = pictures()
    PICTURES.mkdir(exist_ok=True)
    for name, tables in found.items():
        (PICTURES / f"{name}.svg").write_text(drawn(tables), encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


def pictures() -> Mapping[str, Sequence[Table]]:
    """Return the stored tables by the picture that they belong to."""
    return _by_picture([read_tables(path) for path in _result_files()])


def filled(text: str, pictures: Mapping[str, Sequence[Table]]) -> str:
    """Return the page with the measurements in its marked parts."""

    def replaced(match: re.Match[str]) -> str:
        head, name, end = match.groups()
        if name == "machine":
            body = _machine()
        elif name == "aims":
            body = "\n".join([*aims.markdown(pictures), ""])
        else:
            body = measured(name, pictures.get(name, ()))
        return f"{head}{body}{end}"

    return _MARKED.sub(replaced, text)


def _result_files() -> list[Path]:
    return sorted(path for path in RESULTS.glob("*.json") if path != MACHINE)


def _by_picture(results: Sequence[Sequence[Table]]) -> dict[str, list[Table]]:
    found: dict[str, list[Table]] = {}
    for tables in results:
        for table in tables:
            found.setdefault(table.picture, []).append(table)
    found["peak-memory"] = [_peak(table) for table in found.get("cold-start", [])]
    return found


def _peak(table: Table) -> Table:
    rows = [Row(row.name, row.kind, float(row.more["MB peak"])) for row in table.rows]
    return Table("peak-memory", table.title, "MB", rows, table.beside)


def _machine() -> str:
    found = json.loads(MACHINE.read_text())
    return f"Measured on {found['date']}: {found['machine']}, interleaved.\n"


def measured(name: str, tables: Sequence[Table]) -> str:
    """Return the picture of some tables, and the tables themselves."""
    if not tables:
        return "Not measured.\n"
    title = name.replace("-", " ")
    bars = [table for table in tables if not table.along]
    curves = [table for table in tables if table.along]
    lines = [f"![{'Curves' if curves else 'Bars'}: {title}](pictures/{name}.svg)"]
    for table in curves:
        lines += ["", *_markdown_of_curve(table)]
    if bars:
        lines += ["", *_markdown_of_bars(bars)]
    return "\n".join([*lines, ""])


def _markdown_of_curve(table: Table) -> Iterator[str]:
    """Yield a column for each point; a line for each series, its ratio and its further columns."""
    points = sorted({row.at or 0 for row in table.rows})
    yield f"| {table.title}, by {table.along} | {' | '.join(f'{at:,.0f}' for at in points)} |"
    yield "|" + " --- |" * (len(points) + 1)
    for name, rows in table.series().items():
        at = {row.at: row for row in rows}
        found = [at.get(point) for point in points]
        lines = {f"{name}, {table.unit}": [shown(row.value) if row else "" for row in found]}
        if table.beside not in (None, name):
            lines[f"{name}, ratio"] = [table.ratio(row) if row else "" for row in found]
        for heading in dict.fromkeys(heading for row in rows for heading in row.more):
            lines[f"{name}, {heading}"] = [
                row.more.get(heading, "") if row else "" for row in found
            ]
        for title, cells in lines.items():
            yield f"| {' | '.join([title, *cells])} |"


def _markdown_of_bars(tables: Sequence[Table]) -> Iterator[str]:
    headings = list(dict.fromkeys(name for table in tables for name in table.headings()))
    ratios = any(table.beside for table in tables)
    units = {table.unit for table in tables}
    columns = ["", *(["value"] if len(units) > 1 else units), *(["ratio"] if ratios else [])]
    yield f"| {' | '.join([*columns, *headings])} |"
    yield "|" + " --- |" * (len(columns) + len(headings))
    for table in tables:
        for row in table.rows:
            value = shown(row.value) + (f" {table.unit}" if len(units) > 1 else "")
            cells = [f"{table.title}: {row.name}", value, *([table.ratio(row)] if ratios else [])]
            yield f"| {' | '.join([*cells, *(row.more.get(name, '') for name in headings)])} |"
