"""``ksm-storage scan``: find plain configurations and one-time tokens."""

from __future__ import annotations

import click

from ..errors import StorageError
from ..scan.detection import find_secrets
from ..scan.tree import Tree
from .options import json_option
from .output import data, data_as_json, report, say
from .printable import printable

FOUND = 6
_UNREADABLE = 7


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out files and folders whose name or path matches; repeatable.",
)
@json_option
def scan(paths: tuple[str, ...], exclude: tuple[str, ...], as_json: bool) -> int:
    """Find what should be sealed in PATHS, files or folders: path, line and kind, never a value.

    Links in folders, binary files, files above 4 MiB and the folders of version control are left
    out. Ends with 6 if anything was found.
    """
    tree = Tree(paths, exclude)
    found: list[dict[str, object]] = []
    for path, content in tree.contents():
        for finding in find_secrets(content):
            found.append({"path": path, "line": finding.line, "kind": finding.kind.value})
            if not as_json:
                data(f"{printable(path)}:{finding.line}: {finding.kind.value}")
    if as_json:
        data_as_json(found)
    _tell(tree, len(found), as_json=as_json)
    if found:
        return FOUND
    return _UNREADABLE if tree.unreadable else 0


def _tell(tree: Tree, count: int, *, as_json: bool) -> None:
    for path in tree.too_large:
        say(f"warning: {path} is too large and was not looked into")
    for path, reason in tree.unreadable:
        report(StorageError(f"cannot read {path!r}: {reason}"), as_json=as_json)
    if count and not as_json:
        say(f"error: {count} found in {tree.read} files")
        say(
            "hint: seal a configuration with 'ksm-storage protect PATH'; a token or a secret that "
            "was shared is used up: revoke it"
        )
