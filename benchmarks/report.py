"""Write measurements into docs/performance.md: plots, and tables between marker comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.plot import drawn
from benchmarks.tables import Row, Table, read_tables, shown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
MACHINE = RESULTS / "machine.json"
PICTURES = ROOT / "docs/pictures"
PAGE = ROOT / "docs/performance.md"

# ``measured: machine``, or ``measured: PICTURE`` for a plot and its table.
_MARKED = re.compile(r"(<!-- measured: ([a-z_-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write() -> None:
    """Draw the plots and fill in the marked parts of the page."""
    results = {path.stem: read_tables(path) for path in _result_files()}
    pictures = _by_picture(results)
    PICTURES.mkdir(exist_ok=True)
    for name, tables in pictures.items():
        (PICTURES / f"{name}.svg").write_text(drawn(tables), encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), pictures), encoding="utf-8")


def filled(text: str, pictures: Mapping[str, Sequence[Table]]) -> str:
    """Return the page with the measurements in its marked parts."""

    def replaced(match: re.Match[str]) -> str:
        head, name, end = match.groups()
        body = _machine() if name == "machine" else _measured(name, pictures.get(name, ()))
        return f"{head}{body}{end}"

    return _MARKED.sub(replaced, text)


def _result_files() -> list[Path]:
    return sorted(path for path in RESULTS.glob("*.json") if path != MACHINE)


def _by_picture(results: Mapping[str, Sequence[Table]]) -> dict[str, list[Table]]:
    found: dict[str, list[Table]] = {}
    for tables in results.values():
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


def _measured(name: str, tables: Sequence[Table]) -> str:
    title = name.replace("-", " ")
    return "\n".join([f"![Bars: {title}](pictures/{name}.svg)", "", *_markdown(tables), ""])


def _markdown(tables: Sequence[Table]) -> Iterator[str]:
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
