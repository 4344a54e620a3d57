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
from .existing import open_existing
from .options import path_argument, profile_option, setting_option, trusted_key_option
from .output import say
from .pace_options import pace_options

VARIABLE = "KSM_CONFIG"

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


@click.command(name="exec", context_settings={"ignore_unknown_options": True})
@path_argument
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@profile_option
@trusted_key_option
@setting_option
@pace_options
def exec_program(
    path: str,
    program: tuple[str, ...],
    profile: str | None,
    keys: tuple[str, ...],
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
) -> int:
    """Run PROGRAM with the configuration of PATH in KSM_CONFIG.

    Write '--' before it: ksm-storage exec client-config.json -- ksm secret list. On POSIX the
    program takes this process's place, so signals and its exit status are its own.
    """
    if not program[0]:
        raise click.UsageError("the program's name is empty")
    config = open_existing(
        path, keys, settings, profile, timeout=timeout, hedge=hedge
    ).read_storage()
    emit("exported", path=path, form="exec")
    environment = {**os.environ, VARIABLE: format_base64(config).decode("ascii")}
    try:
        return _run(program, environment)
    except FileNotFoundError:
        say(f"error: the program {program[0]!r} was not found")
        return _NOT_FOUND
    except OSError as exc:
        say(f"error: the program {program[0]!r} cannot be run: {exc.strerror}")
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
