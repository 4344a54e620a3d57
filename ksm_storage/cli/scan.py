"""``ksm-storage scan``: find plain configurations and one-time tokens."""

from __future__ import annotations

import click

from ..errors import StorageError
from ..scan.detection import find_secrets
from ..scan.git_history import GitHistory
from ..scan.tree import Tree
from .commands import command
from .options import PATH, json_option
from .output import echo_err, echo_error, echo_json, echo_line

FOUND = 6
_UNREADABLE = 7


@command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Skip files and folders whose name or path matches; repeatable.",
)
@click.option(
    "--git",
    is_flag=True,
    help="Also search the history of the git repository of each path: every file of every commit.",
)
@json_option
def scan(paths: tuple[str, ...], exclude: tuple[str, ...], git: bool, as_json: bool) -> int:
    """Find plain configurations and tokens in PATHS: print path, line and kind, never a value.

    PATHS are files or folders. In folders, links, binary files, files larger than 4 MiB and the
    folders of version control systems are skipped. Exits with 6 if anything was found.
    """
    tree = Tree(paths, exclude)
    found: list[dict[str, object]] = []
    for path, content in tree.contents():
        for finding in find_secrets(content):
            found.append({"path": path, "line": finding.line, "kind": finding.kind.value})
            if not as_json:
                echo_line(f"{path}:{finding.line}: {finding.kind.value}")
    histories = [GitHistory(path, exclude) for path in paths] if git else []
    # One for each repository, however many of the paths it holds.
    for history in {each.repository(): each for each in histories}.values():
        for path, commit, finding in history.findings():
            kind = finding.kind.value
            found.append({"path": path, "line": finding.line, "kind": kind, "commit": commit})
            if not as_json:
                where = f"commit {commit}" if commit else "not in any commit"
                echo_line(f"{path}:{finding.line}: {kind} ({where})")
        tree.read += history.read
        tree.too_large += history.too_large
    if as_json:
        echo_json(found)
    _echo_summary(tree, len(found), as_json=as_json)
    if found:
        return FOUND
    return _UNREADABLE if tree.unreadable else 0


def _echo_summary(tree: Tree, count: int, *, as_json: bool) -> None:
    for path in tree.too_large:
        echo_err(f"warning: skipped {path}: too large")
    for path, reason in tree.unreadable:
        echo_error(StorageError(f"cannot read {path!r}: {reason}"), as_json=as_json)
    if count and not as_json:
        echo_err(f"error: found {count} in {tree.read} files")
        echo_err(
            "hint: seal a configuration with 'ksm-storage protect PATH'; revoke any token or "
            "secret that was shared"
        )
