"""A changed, missing, moved or cut line of an audit file is found, and named."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ksm_storage.audit.chain import START, Verification, chained_line, read_line

Lines = list[bytes]


def chain(count: int) -> Lines:
    lines: Lines = []
    link = START
    for number in range(count):
        lines.append(chained_line({"event": "opened", "path": f"/{number}"}, link))
        line = read_line(lines[-1][:-1])
        assert line is not None
        link = line.link
    return lines


def forged(lines: Lines) -> Lines:
    """Change event 3 and give it the right hash of its own."""
    before = read_line(lines[1][:-1])
    assert before is not None
    return [*lines[:2], chained_line({"event": "opened", "path": "/x"}, before.link), *lines[3:]]


def spaced(lines: Lines) -> Lines:
    return [*lines[:2], json.dumps(json.loads(lines[2])).encode() + b"\n", *lines[3:]]


def found(lines: Lines) -> list[tuple[int, str]]:
    return list(Verification().findings(lines))


def test_an_untouched_chain_is_whole_and_has_a_head() -> None:
    check = Verification()

    assert list(check.findings(chain(5))) == []
    assert (check.count, check.head.number) == (5, 5)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            lambda c: [*c[:2], c[2].replace(b"/2", b"/9"), *c[3:]],
            [(3, "event 3 was changed")],
        ),
        (spaced, [(3, "event 3 was changed")]),
        (forged, [(4, "event 4 does not follow the one before it")]),
        (lambda c: [*c[:2], *c[3:]], [(3, "event 3 is missing before it")]),
        (lambda c: c[1:], [(1, "event 1 is missing before it")]),
        (lambda c: [*c[:1], *c[4:]], [(2, "events 2 to 4 are missing before it")]),
        (
            lambda c: [c[0], c[2], c[1], c[3], c[4]],
            [(3, "event 2 is out of order")],
        ),
        (lambda c: [*c[:3], c[1], *c[3:]], [(4, "event 2 is repeated")]),
        (lambda c: [*c[:4], c[4][:30]], [(5, "cut off, or not an event")]),
        (
            lambda c: [*c[:4], c[4][:-1]],
            [(5, "event 5 is cut off: its newline is missing")],
        ),
        (lambda c: [*c[:2], b"[]\n", *c[2:]], [(3, "cut off, or not an event")]),
        (lambda c: [*c[:2], b"[" * 100_000 + b"\n", *c[2:]], [(3, "cut off, or not an event")]),
    ],
)
def test_damage_is_found_where_it_is(
    damage: Callable[[Lines], Lines], expected: list[tuple[int, str]]
) -> None:
    assert found(damage(chain(5))) == expected


def test_lines_cut_off_at_the_end_are_found_by_who_noted_the_head() -> None:
    lines = chain(5)
    whole, cut = Verification(), Verification()
    list(whole.findings(lines))

    list(cut.findings(lines[:3], watch=(whole.head.number, whole.head.hash)))

    assert not cut.watched


def test_a_chain_that_grew_still_goes_through_the_head_that_was_noted() -> None:
    lines = chain(5)
    early, late = Verification(), Verification()
    list(early.findings(lines[:3]))

    list(late.findings(lines, watch=(early.head.number, early.head.hash)))

    assert late.watched
