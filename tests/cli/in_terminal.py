"""Run command lines one after another, each in a child that has everything loaded already.

Started in a terminal of tmux by ``test_snapshots.py``; the folder holds the lines in ``script``.
"""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import click

from ksm_storage.cli import main as command
from ksm_storage.cli.program import cli

INTERRUPTED = " ^C"


def main() -> None:
    """Run the lines of the script.

    A line may end in ``< FILE``, or in ``^C`` for a server that is interrupted once it listens.
    """
    load_commands()
    for number, line in enumerate(Path("script").read_text(encoding="utf-8").splitlines()):
        shown, _, source = line.removesuffix(INTERRUPTED).partition(" < ")
        print(f"$ ksm-storage {line}", flush=True)
        child = os.fork()
        if child == 0:
            if source:
                os.dup2(os.open(source, os.O_RDONLY), 0)
            # What is made at random, uids and words among them, is the same each time.
            os.urandom = random.Random(number).randbytes
            run([word for each in shlex.split(shown) for word in expanded(each)])
        if line.endswith(INTERRUPTED):
            wait_until_it_listens()
            os.kill(child, signal.SIGINT)
        _, status = os.waitpid(child, 0)
        print(f"[exit {os.waitstatus_to_exitcode(status)}]\n", flush=True)


def load_commands() -> None:
    # A first start costs a tenth of a second, a fork a thousandth.
    context = click.Context(cli)
    for name in cli.list_commands(context):
        cli.get_command(context, name)
    for name in ("ksm_storage.engine", "ksm_storage.storage.protecting", "rich.table"):
        import_module(name)


def expanded(word: str) -> list[str]:
    """Return a key file's URI for ``@NAME``, and the lines of a file for ``%NAME``."""
    if word.startswith("%"):
        return Path(word[1:]).read_text(encoding="utf-8").splitlines()
    return [f"key-file://{Path.cwd()}/{word[1:]}" if word.startswith("@") else word]


def wait_until_it_listens() -> None:
    socket, pane = os.environ["PANE"].split()
    see = ["tmux", "-S", socket, "capture-pane", "-p", "-t", pane]
    while "https://" not in subprocess.check_output(see, text=True).rpartition("$ ksm-storage")[2]:
        time.sleep(0.02)


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
