"""Run the installed command as a shell would."""

from __future__ import annotations

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("ksm-storage"))

_TIMEOUT_SECONDS = 60
# More than this waits for a reader, which a pipe of the system does not promise to hold.
_MAX_INPUT = 16_384
# What Python reads at its start, when the process that is forked has started long ago.
_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_")


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command and return what it printed.

    It runs in a fork of a process that has imported the commands and done nothing else, which takes
    a quarter of the time. The scripts in ``tests/cli/scripts``, the pages and whoever starts
    ``COMMAND`` itself start it anew.
    """
    environment = dict(os.environ)
    if hasattr(os, "fork") and len(stdin) < _MAX_INPUT:
        server = _server()
        if _at_the_start(environment) == server.at_the_start:
            return server.run(list(arguments), stdin, environment)
    return subprocess.run(
        [COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )


def key_file(folder: Path) -> str:
    """Write a key file and return its URI."""
    path = folder / "app.key"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, os.urandom(32))
        os.close(descriptor)
    return f"key-file://{path}"


class _Server:
    """Hold the process that is forked; it ends with this one."""

    def __init__(self) -> None:
        self.at_the_start = _at_the_start(os.environ)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_TIMEOUT_SECONDS)
        with theirs:
            program = Path(__file__).with_name("forked_commands.py")
            self._process = subprocess.Popen(
                [sys.executable, str(program), str(theirs.fileno()), COMMAND],
                # Pipes, as each command has: Python looks at them when it starts.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )

    def run(
        self, arguments: list[str], stdin: str, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run one command; one at a time."""
        pipes = [os.pipe() for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        mask = os.umask(0o077)
        os.umask(mask)
        request = {"arguments": arguments, "environment": environment, "folder": os.getcwd()}
        socket.send_fds(self._socket, [json.dumps({**request, "mask": mask}).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        with ThreadPoolExecutor(2) as pool:
            told = [pool.submit(_read, pipe[0]) for pipe in pipes[1:]]
            with open(pipes[0][1], "w") as given:
                given.write(stdin)
            code = int(self._socket.recv(16))
        return subprocess.CompletedProcess(
            [COMMAND, *arguments], code, *(each.result() for each in told)
        )

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.communicate()


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def _read(descriptor: int) -> str:
    with open(descriptor) as stream:
        return stream.read()


def _at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environment.items() if name.startswith(_READ_AT_THE_START)
    }
