"""``ksm-storage exec``: run a program with the configuration in its environment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

import click

from ..audit.events import emit
from ..config.json_form import format_base64
from ..core_dumps import give_limit_back
from .commands import command
from .output import echo_err
from .sealed_file import SealedFile, sealed_file_options

VARIABLE = "KSM_CONFIG"

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


@command(name="exec", context_settings={"ignore_unknown_options": True})
@sealed_file_options
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_program(file: SealedFile, program: tuple[str, ...]) -> int:
    """Run PROGRAM with the configuration of PATH in KSM_CONFIG.

    Put '--' before it: ksm-storage exec client-config.json -- ksm secret list. On POSIX the
    program replaces this process, so signals and the exit code are its own.
    """
    if not program[0]:
        raise click.UsageError("the program name is empty")
    config = file.open().read_storage()
    emit("exported", path=file.path, form="exec")
    environment = {**os.environ, VARIABLE: format_base64(config).decode("ascii")}
    try:
        return _run(program, environment)
    except FileNotFoundError:
        echo_err(f"error: program {program[0]!r} not found")
        return _NOT_FOUND
    except OSError as exc:
        echo_err(f"error: cannot run the program {program[0]!r}: {exc.strerror}")
        return _NOT_EXECUTABLE


def _run(program: tuple[str, ...], environment: Mapping[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        # Python ignores these; an ignored signal would stay ignored in the program.
        for name in ("SIGPIPE", "SIGXFSZ"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        give_limit_back()
        # The program is the user's own, given on their own command line.
        os.execvpe(program[0], program, environment)  # noqa: S606
    import subprocess

    return subprocess.run(program, env=environment, check=False).returncode  # noqa: S603
