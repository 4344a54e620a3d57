"""Fork for each command line that is asked for: ``forked_commands.py SOCKET COMMAND``.

``command.py`` starts it. A child is what the shell would have started, but for its imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from importlib import import_module
from typing import Any

import click

from ksm_storage.cli import main as command
from ksm_storage.cli.program import cli

_MAX_REQUEST = 1_000_000
# What most commands import when they run, where it is installed.
_ALSO = ("ksm_storage.engine", "ksm_storage.storage.protecting", "rich.table")


def main() -> int:
    """Answer with the exit code of each command; return that of one command in its child."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        cli.get_command(context, name)
    for name in _ALSO:
        with contextlib.suppress(ImportError):
            import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        while True:
            raw, streams, _, _ = socket.recv_fds(asked, _MAX_REQUEST, 3)
            if not raw:
                return 0
            child = os.fork()
            if child == 0:
                break
            for stream in streams:
                os.close(stream)
            asked.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    _become(json.loads(raw), streams)
    return command.main()


def _become(request: Any, streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(request["mask"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = os.path.dirname(sys.argv[2])
    sys.argv[:] = [sys.argv[2], *request["arguments"]]


if __name__ == "__main__":
    sys.exit(main())
