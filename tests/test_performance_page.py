"""The performance page shows what was measured, and each aim beside what was reached."""

from __future__ import annotations

import pytest

from benchmarks import aims, report
from benchmarks.aims import Aim
from benchmarks.plot import drawn
from benchmarks.tables import Row, Table

CURVE = Table(
    "growth",
    "open",
    "ms",
    [
        Row("floor", "floor", 1.0, at=1),
        Row("ours", "ours", 2.0, at=1),
        Row("floor", "floor", 10.0, at=1_000),
        Row("ours", "ours", 15.0, at=1_000),
    ],
    "floor",
    along="records",
)


def test_nothing_on_the_page_is_edited_by_hand() -> None:
    page = report.PAGE.read_text(encoding="utf-8")

    assert report.filled(page, report.pictures()) == page


def test_each_aim_is_measured() -> None:
    pictures = report.pictures()
    unmeasured = [aim.subject for aim in aims.AIMS if "not measured" in aim.cells(pictures)]

    # The targets of the Makefile take minutes: not everyone who measures runs them.
    assert [subject for subject in unmeasured if not subject.startswith("`make ")] == []


@pytest.mark.parametrize(
    ("limit", "at_least", "reached"),
    [(1.5, False, "yes"), (1.4, False, "**no**"), (1.5, True, "yes"), (1.6, True, "**no**")],
)
def test_an_aim_is_reached_up_to_its_limit(limit: float, at_least: bool, reached: str) -> None:
    found = aims.ratio("growth", "open", "ours", at=1_000)
    aim = Aim("an open", limit, "of the floor", found, at_least)

    assert aim.cells({"growth": [CURVE]})[2:] == ("1.50", reached)


def test_a_curve_has_a_column_for_each_point_and_a_ratio_to_its_floor_there() -> None:
    lines = report.measured("growth", [CURVE]).splitlines()

    assert lines == [
        "![Curves: growth](pictures/growth.svg)",
        "",
        "| open, by records | 1 | 1,000 |",
        "| --- | --- | --- |",
        "| floor, ms | 1 | 10 |",
        "| ours, ms | 2 | 15 |",
        "| ours, ratio | 2.00 | 1.50 |",
    ]
    assert drawn([CURVE]).count('<path class="curve') == 2
