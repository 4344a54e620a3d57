"""Run command lines one after another, each in a child that has everything loaded already.

``test_snapshots.py`` starts it in a terminal of tmux, ``test_json_of_each_command.py`` with a
folder for what each command writes with ``--json``. The folder holds the lines in ``script``.
"""

from __future__ import annotations

import logging
import os
import random
import shlex
import signal
import subprocess
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ksm_storage.cli import main as command
from ksm_storage.cli.program import cli

INTERRUPTED = " ^C"


def main() -> None:
    """Run the lines of the script.

    A line may end in ``< FILE``, or in ``^C`` for a server that is interrupted once it listens.
    """
    load_commands()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for number, line in enumerate(Path("script").read_text(encoding="utf-8").splitlines()):
        if folder is None:
            print(f"$ ksm-storage {line}", flush=True)
        place = None if folder is None else folder / f"{number:03}"
        child = os.fork()
        if child == 0:
            become(line, number, place)
        if line.endswith(INTERRUPTED):
            wait_until_it_listens(place, child)
            os.kill(child, signal.SIGINT)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if place is None:
            print(f"[exit {code}]\n", flush=True)
        else:
            place.with_suffix(".code").write_text(str(code))


def load_commands() -> None:
    # A first start costs a tenth of a second, a fork a thousandth.
    context = click.Context(cli)
    for name in cli.list_commands(context):
        cli.get_command(context, name)
    for name in ("ksm_storage.engine", "ksm_storage.storage.protecting", "rich.table"):
        import_module(name)


def become(line: str, number: int, place: Path | None) -> None:
    """Be the process of one command; with a place, write JSON to files there."""
    shown, _, source = line.removesuffix(INTERRUPTED).partition(" < ")
    words = [word for each in shlex.split(shown) for word in expanded(each)]
    if source:
        os.dup2(os.open(named(source), os.O_RDONLY), 0)
    # What is made at random, uids and words among them, is the same each time.
    os.urandom = random.Random(number).randbytes
    # Which plugins are installed differs.
    providers: Any = import_module("ksm_storage.cli.providers")
    every = providers.find_entry_points
    providers.find_entry_points = lambda: [e for e in every() if e.distribution == "ksm-storage"]
    if place is not None:
        for descriptor, suffix in ((1, ".out"), (2, ".err")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            os.dup2(os.open(place.with_suffix(suffix), flags), descriptor)
        if "STDOUT_IS_CLOSED" in os.environ:
            os.close(1)
            sys.stdout = None  # as Python begins with it closed
        click.Command.invoke = noisy(click.Command.invoke)  # type: ignore[method-assign]  # a library's noise
        at = words.index("--") if "--" in words else len(words)
        # A server tells most.
        words[at:at] = ["--json", "--verbose"] if line.endswith(INTERRUPTED) else ["--json"]
    run(words)


def expanded(word: str) -> list[str]:
    """Return a key file's URI for ``@NAME``, and the lines of a file for ``%NAME``."""
    if word.startswith("%"):
        return Path(word[1:]).read_text(encoding="utf-8").splitlines()
    return [f"key-file://{Path.cwd()}/{word[1:]}" if word.startswith("@") else named(word)]


def named(word: str) -> str:
    """Return the name under which a file is there: ``$ODD_NAME`` stands for ``c.json``."""
    return os.environ.get("ODD_NAME", word) if word == "c.json" else word


def noisy(real: Any) -> Any:
    """Return a function that writes to stderr what libraries write before it calls another."""

    def called(*arguments: Any) -> Any:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.getLogger("grpc").error("not reached")
        os.write(2, b"E1129 \xff told\n")
        return real(*arguments)

    return called


def wait_until_it_listens(place: Path | None, child: int) -> None:
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while "127.0.0.1:" not in printed(place) and os.waitid(os.P_PID, child, ended) is None:
        time.sleep(0.02)


def printed(place: Path | None) -> str:
    if place is not None:
        out = place.with_suffix(".out")
        return out.read_text() if out.exists() else ""
    socket, pane = os.environ["PANE"].split()
    see = ["tmux", "-S", socket, "capture-pane", "-p", "-t", pane]
    return subprocess.check_output(see, text=True).rpartition("$ ksm-storage")[2]


def run(words: list[str]) -> None:
    sys.argv = ["ksm-storage", *words]
    try:
        code = command.main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as exc:
        code = int(exc.code or 0)
    os._exit(code)


if __name__ == "__main__":
    main()
