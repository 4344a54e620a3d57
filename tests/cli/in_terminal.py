"""Run command lines one after another, each in a child that has everything loaded already.

Started in a terminal of tmux by ``test_snapshots.py``; the folder holds the lines in ``script``.
"""

from __future__ import annotations

import os
import shlex
import sys
from importlib import import_module
from pathlib import Path

import click

from ksm_storage.cli import main as command
from ksm_storage.cli.program import cli


def main() -> None:
    """Run the lines of the script; a line may end in ``< FILE``."""
    load_commands()
    for line in Path("script").read_text(encoding="utf-8").splitlines():
        shown, _, source = line.partition(" < ")
        print(f"$ ksm-storage {line}", flush=True)
        child = os.fork()
        if child == 0:
            if source:
                os.dup2(os.open(source, os.O_RDONLY), 0)
            run([expanded(word) for word in shlex.split(shown)])
        _, status = os.waitpid(child, 0)
        print(f"[exit {os.waitstatus_to_exitcode(status)}]\n", flush=True)


def load_commands() -> None:
    # A first start costs a tenth of a second, a fork a thousandth.
    context = click.Context(cli)
    for name in cli.list_commands(context):
        cli.get_command(context, name)
    for name in ("ksm_storage.engine", "ksm_storage.storage.protecting", "rich.table"):
        import_module(name)


def expanded(word: str) -> str:
    return f"key-file://{Path.cwd()}/{word[1:]}" if word.startswith("@") else word


def run(words: list[str]) -> None:
    sys.argv = ["ksm-storage", *words]
    try:
        code = command.main()
        sys.stdout.flush()
    except SystemExit as exc:
        code = int(exc.code or 0)
    os._exit(code)


if __name__ == "__main__":
    main()
