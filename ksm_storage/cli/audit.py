"""``ksm-storage audit``: read the file that the built-in audit sink writes."""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import click

from ..audit.chain import Verification, read_line
from ..audit.events import Kind
from ..errors import StorageError
from ..files.reading import not_found
from .commands import command, group
from .options import PATH, json_option
from .output import echo, echo_err, echo_json, echo_line

ALTERED = 6

_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
# Longer than any event; the rest of a longer line is read as another one, and reported.
_MAX_LINE_BYTES = 1_048_576


@group()
def audit() -> None:
    """Show and verify the file named by $KSM_STORAGE_AUDIT_FILE."""


@command()
@click.argument("path", metavar="FILE", type=PATH)
@click.option(
    "--event",
    "kind",
    metavar="KIND",
    type=click.Choice(get_args(Kind)),
    help="Only events of this kind, e.g. refused.",
)
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the last N events.")
@json_option
def show(path: str, kind: str | None, last: int | None, as_json: bool) -> None:
    """Print the events in FILE, one per line, without verifying them."""
    events: Iterable[Mapping[str, Any]] = _events(path, kind)
    if last is not None:
        events = deque(events, maxlen=min(last, sys.maxsize))
    for event in events:
        if as_json:
            echo(json.dumps(event))
        else:
            echo_line(_as_text(event))


@command(short_help="Find lines that were changed or removed.")
@click.argument("path", metavar="FILE", type=PATH)
@click.option(
    "--head",
    metavar="NUMBER:HASH",
    help="The head that an earlier 'verify' printed; FILE must still contain it.",
)
@json_option
def verify(path: str, head: str | None, as_json: bool) -> int:
    """Follow the chain of hashes through FILE, and print the lines that break it.

    Lines cut off at the end leave a shorter valid chain, and anyone who can write the file can
    rewrite all of it: store the printed head somewhere else, and pass it next time.
    """
    expected = _read_head(head)
    verification = Verification()
    problems: list[dict[str, object]] = [
        {"line": finding.line, "problem": finding.what}
        for finding in verification.findings(_lines(path), watch=expected)
    ]
    # A chain that only grew still goes through the event that was its head.
    if expected is not None and not verification.watched:
        problems.append({"line": verification.count, "problem": "the given head is missing"})
    found = f"{verification.head.number}:{verification.head.hash}"
    if as_json:
        content = {"path": path, "lines": verification.count, "head": found, "problems": problems}
        echo_json(content)
        return ALTERED if problems else 0
    for problem in problems:
        echo_line(f"{path}:{problem['line']}: {problem['problem']}")
    if problems:
        echo_err(f"error: {path!r} was altered")
        echo_err("hint: compare it with a copy; whoever can write the file can have changed it")
        return ALTERED
    echo_line(f"ok {path} {verification.count} events, head {found}")
    return 0


def _events(path: str, kind: str | None) -> Iterator[Mapping[str, Any]]:
    skipped = 0
    for raw in _lines(path):
        line = read_line(raw.rstrip(b"\n"))
        if line is None:
            skipped += 1
        elif kind is None or line.event.get("event") == kind:
            yield line.event
    if skipped:
        echo_err(
            f"warning: skipped {skipped} lines that are not events; "
            "'ksm-storage audit verify' lists them"
        )


def _lines(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                yield line
    except FileNotFoundError as exc:
        raise not_found(path) from exc
    except OSError as exc:
        raise StorageError(f"cannot read {path!r}: {exc.strerror}") from exc


def _as_text(event: Mapping[str, Any]) -> str:
    parts = [event.get("time"), event.get("event"), event.get("path", event.get("envelope_id"))]
    for name, word in (
        ("keys", "under"),
        ("instead_of", "instead of"),
        ("form", "form"),
        ("error", "for"),
    ):
        value = event.get(name)
        if value:
            parts += [word, ", ".join(map(str, value)) if isinstance(value, list) else value]
    if event.get("cached") is True:
        parts.append("from the cache")
    parts += ["user", event.get("user"), "process", event.get("process")]
    return " ".join(str(part) for part in parts if part is not None)


def _read_head(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    match = _HEAD.fullmatch(text)
    if match is None:
        raise click.BadParameter("must be NUMBER:HASH", param_hint="'--head'")
    return int(match[1]), match[2]


for _command in (show, verify):
    audit.add_command(_command)
