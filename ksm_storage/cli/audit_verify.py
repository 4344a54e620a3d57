"""``ksm-storage audit verify``: find what was changed, removed or moved in an audit file."""

from __future__ import annotations

import re

import click

from ..audit.chain import Verification
from .audit_lines import audit_lines
from .options import json_option
from .output import data, data_as_json, say
from .printable import printable

ALTERED = 6

_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


@click.command(short_help="Say which lines of an audit file were changed or removed.")
@click.argument("path", metavar="FILE", type=click.Path())
@click.option(
    "--head",
    metavar="NUMBER:HASH",
    help="What an earlier 'verify' printed; the file must still hold that event.",
)
@json_option
def verify(path: str, head: str | None, as_json: bool) -> int:
    """Follow the chain of hashes through FILE, and say which lines break it.

    Lines that were cut off at the end leave a whole, shorter chain, and who may write the file
    can write all of it anew: keep the head that is printed elsewhere, and give it next time.
    """
    expected = _read_head(head)
    check = Verification()
    problems: list[dict[str, object]] = [
        {"line": finding.line, "problem": finding.what}
        for finding in check.findings(audit_lines(path), watch=expected)
    ]
    # A chain that only grew still goes through the event that was its head.
    if expected is not None and not check.watched:
        problems.append({"line": check.count, "problem": "the file does not hold the given head"})
    _show(path, check, problems, as_json=as_json)
    return ALTERED if problems else 0


def _read_head(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    match = _HEAD.fullmatch(text)
    if match is None:
        raise click.BadParameter("a head is written NUMBER:HASH", param_hint="'--head'")
    return int(match[1]), match[2]


def _show(
    path: str, check: Verification, problems: list[dict[str, object]], *, as_json: bool
) -> None:
    head = f"{check.head.number}:{check.head.hash}"
    if as_json:
        whole = {"path": path, "lines": check.count, "head": head, "problems": problems}
        data_as_json(whole)
        return
    for problem in problems:
        data(printable(f"{path}:{problem['line']}: {problem['problem']}"))
    if problems:
        say(f"error: {path!r} is not as it was written")
        return
    data(printable(f"ok {path} {check.count} events, head {head}"))
