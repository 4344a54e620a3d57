"""Hold the results of a benchmark, print them, and store them for plots and documentation."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["floor", "ours", "official", "other"]


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one measurement.

    Attributes:
        name: What was measured.
        kind: Whose it is: the floor, ours, the official package's, or another program's.
        value: The number that is compared, in the table's unit.
        more: Further columns, as text, by heading.
        at: The point on the curve, in the unit that the table grows along.
    """

    name: str
    kind: Kind
    value: float
    more: Mapping[str, str] = field(default_factory=dict)
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Hold rows that are compared with each other.

    Attributes:
        picture: The plot that the table belongs to; tables with the same one share it.
        title: What was compared.
        unit: The unit of the values.
        rows: What was measured.
        beside: The row whose ratio is 1.00; None where a ratio says nothing.
        note: How it was measured.
        along: What the rows grow along, such as ``records``; empty where they are no curve.
    """

    picture: str
    title: str
    unit: str
    rows: list[Row]
    beside: str | None = None
    note: str = ""
    along: str = ""

    def ratio(self, row: Row) -> str:
        """Return the ratio of a row to the reference row at the same point, as text."""
        base = self.find(self.beside, row.at).value if self.beside else 0
        return f"{row.value / base:.2f}" if base else ""

    def find(self, name: str, at: float | None = None) -> Row:
        """Return a row by its name and point; raise KeyError."""
        for row in self.rows:
            if row.name == name and row.at == at:
                return row
        raise KeyError(f"{self.title}: {name} at {at}")

    def series(self) -> dict[str, list[Row]]:
        """Return the rows by name, in the order of their first use."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.name, []).append(row)
        return found

    def headings(self) -> list[str]:
        """Return the headings of the further columns, in the order of their first use."""
        return list(dict.fromkeys(name for row in self.rows for name in row.more))


def publish(tables: Iterable[Table], arguments: list[str]) -> None:
    """Print each table when it is measured; with ``--json FILE`` write all of them there too."""
    done = []
    for table in tables:
        show(table)
        done.append(table)
    if "--json" in arguments:
        path = Path(arguments[arguments.index("--json") + 1])
        path.write_text(json.dumps([asdict(table) for table in done], indent=1) + "\n")


def words(arguments: list[str]) -> list[str]:
    """Return the arguments without ``--json FILE``."""
    if "--json" not in arguments:
        return arguments
    at = arguments.index("--json")
    return arguments[:at] + arguments[at + 2 :]


def read_tables(path: Path) -> list[Table]:
    """Return the stored results of a benchmark."""
    found = json.loads(path.read_text())
    return [Table(**{**each, "rows": [Row(**row) for row in each["rows"]]}) for each in found]


def shown(value: float) -> str:
    """Return a number with three significant digits, or as an integer."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def show(table: Table) -> None:
    """Print a table."""
    print(f"\n{table.title}" + (f" ({table.note})" if table.note else ""))
    names = [_at(table, row) + row.name for row in table.rows]
    width = max(map(len, names))
    headings = table.headings()
    for name, row in zip(names, table.rows, strict=True):
        ratio = f"{table.ratio(row)}x" if table.beside else ""
        more = "".join(f"   {row.more.get(name, ''):>9} {name}" for name in headings)
        print(f"  {name:<{width}} {shown(row.value):>9} {table.unit} {ratio:>8}{more}")
    sys.stdout.flush()


def _at(table: Table, row: Row) -> str:
    return "" if row.at is None else f"{row.at:>9,.0f} {table.along}: "
