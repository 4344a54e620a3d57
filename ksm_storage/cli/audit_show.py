"""``ksm-storage audit show``: the events of an audit file for people."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import click

from ..audit.chain import read_line
from ..audit.events import Kind
from .audit_lines import audit_lines
from .options import json_option
from .output import data, say
from .printable import printable


@click.command()
@click.argument("path", metavar="FILE", type=click.Path())
@click.option(
    "--event",
    "kind",
    metavar="KIND",
    type=click.Choice(get_args(Kind)),
    help="Events of this kind only, as in refused.",
)
@click.option("--last", type=click.IntRange(1), metavar="N", help="The last N of them only.")
@json_option
def show(path: str, kind: str | None, last: int | None, as_json: bool) -> None:
    """Print the events in FILE, one per line; nothing is verified."""
    events: Iterable[Mapping[str, Any]] = _events(path, kind)
    if last is not None:
        events = deque(events, maxlen=min(last, sys.maxsize))
    for event in events:
        data(json.dumps(event) if as_json else _shown(event))


def _events(path: str, kind: str | None) -> Iterator[Mapping[str, Any]]:
    skipped = 0
    for raw in audit_lines(path):
        line = read_line(raw.rstrip(b"\n"))
        if line is None:
            skipped += 1
        elif kind is None or line.event.get("event") == kind:
            yield line.event
    if skipped:
        say(f"warning: {skipped} lines are no events; 'ksm-storage audit verify' says which")


def _shown(event: Mapping[str, Any]) -> str:
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
    parts += ["user", event.get("user"), "process", event.get("process")]
    # Whoever may name a file must not steer the terminal of whoever reads about it.
    return printable(" ".join(str(part) for part in parts if part is not None))
