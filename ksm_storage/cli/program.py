"""Find the command asked for, run it, and report every failure alike."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import KsmStorageError, PluginNotFoundError
from ..keys.discovery import EntryPoint, find_entry_points
from ..keys.setting_sources import command_memory
from ..process import gc_pause, no_core_dumps
from .commands import Group
from .output import echo_end, echo_error, echo_usage_error, hiding
from .process import INTERRUPTED, Process
from .streams import ReaderGoneError, settle_streams

TRACEBACK_VARIABLE = "KSM_STORAGE_TRACEBACK"

_READER_GONE = 141
_INTERNAL = 1
_USAGE = 2

# Each command is imported when it is run, asked for help, or listed with its first line.
_COMMANDS = {
    "accept": ("check:accept", "Take a file in the place of the one that was opened before."),
    "audit": ("audit:audit", "Show and verify the audit file."),
    "check": ("check:check", "Open sealed files without changing them."),
    "completion": ("pages:completion", "Print a shell completion script."),
    "delete": ("values:delete", "Remove one value from a sealed file."),
    "device": ("device:device", "Rotate the client device of a sealed file."),
    "doctor": ("doctor:doctor", "Diagnose files that cannot be opened or saved."),
    "exec": ("run:exec_program", "Run a program with the whole configuration."),
    "export": ("export:export", "Write the configuration in plain text."),
    "get": ("values:get", "Print one value of a sealed file."),
    "init": ("init:init", "Bind a new client device, sealed from the start."),
    "inject": ("inject:inject", "Replace the references in templates by their values."),
    "inspect": ("inspect:inspect", "Show the header of a sealed file without opening it."),
    "keygen": ("providers:keygen", "Create a key file."),
    "profile": ("profile:profile", "Keep several client devices in one sealed file."),
    "protect": ("protect:protect", "Seal a plain configuration in place."),
    "providers": ("providers:providers", "List the installed key providers."),
    "run": ("run:run", "Run a program with the values of references."),
    "scan": ("scan:scan", "Find plain configurations and one-time tokens."),
    "recovery": ("recovery:recovery", "Create, test and use an offline recovery key."),
    "relay": ("relay:relay", "Give programs a few records through a local endpoint."),
    "rekey": ("rewrap:rekey", "Seal files under a new data key."),
    "rewrap": ("rewrap:rewrap", "Add, remove, replace or refresh the keys of sealed files."),
    "schema": ("pages:schema", "Print the JSON Schema of the output or of a settings file."),
    "secret": ("secret:secret", "Read the secrets shared with the application."),
    "set": ("values:set_value", "Set one value in a sealed file."),
    "status": ("status:status", "Report on sealed files and their keys."),
}

# Other distributions add commands under this group of entry points.
_ENTRY_POINTS = "ksm_storage.commands"
_ADDED = {
    "vault": ("ksm-storage-local-vault", "Run and fill a local Keeper-compatible server."),
}


class _Commands(Group):
    """Load a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return sorted({*_COMMANDS, *_added_commands()})

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name in _COMMANDS:
            return _import_command(f"{__package__}.{_COMMANDS[cmd_name][0]}")
        added = _added_commands().get(cmd_name)
        if added is not None:
            return _import_command(added.module)
        if cmd_name in _ADDED:
            raise PluginNotFoundError(
                f"the command {cmd_name!r} is not installed",
                hint="in a clone of ksm-storage run: pip install '.[vault]'; "
                "the names are on no index yet",
            )
        return None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        added = _added_commands().items()
        texts = {name: f"Added by {entry.distribution}." for name, entry in added}
        texts |= {name: text for name, (_, text) in _ADDED.items() if name in texts}
        texts |= {name: text for name, (_, text) in _COMMANDS.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(texts.items()))


def _added_commands() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in find_entry_points(_ENTRY_POINTS)}


def _import_command(place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    with gc_pause():
        command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{place} is not a command")
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep a Keeper Secrets Manager configuration sealed under keys held elsewhere."""


def run(given: Sequence[str], *, own: bool) -> int:
    """Run the command line and return its exit code (docs/cli.md lists them).

    Args:
        own: Whether the process runs this command alone; see :class:`Process`.
    """
    settle_streams()
    as_json = "--json" in given[: given.index("--")] if "--" in given else "--json" in given
    with hiding(given), Process(own=own, as_json=as_json) as process:
        code = _run(given, process, as_json=as_json)
        if code == INTERRUPTED:
            process.leave(code)
    return code


def _run(given: Sequence[str], process: Process, *, as_json: bool) -> int:
    try:
        with no_core_dumps(), command_memory():
            code = cli.main(
                list(given), prog_name="ksm-storage", standalone_mode=False, obj=process
            )
        sys.stdout.flush()
    except KsmStorageError as exc:
        echo_error(exc, as_json=as_json)
        return exc.exit_code
    except click.ClickException as exc:
        echo_usage_error(exc, command=_called(given), as_json=as_json)
        return _USAGE
    except (click.Abort, KeyboardInterrupt):
        hint = process.next_step
        echo_end("Interrupted", "interrupted", hint, code=INTERRUPTED, as_json=as_json)
        return INTERRUPTED
    except ReaderGoneError:
        return _READER_GONE
    # The last line of defence: a traceback or a foreign message could show a secret.
    except Exception as exc:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        message = f"internal error ({type(exc).__name__})"
        hint = f"set {TRACEBACK_VARIABLE}=1 to get a traceback, and report the bug"
        echo_end("InternalError", message, hint, code=_INTERNAL, as_json=as_json)
        return _INTERNAL
    return code if isinstance(code, int) else 0


def _called(given: Sequence[str]) -> str:
    """Return the command that the first words name, as far as they name one."""
    # click does not say it of an option without its value.
    path = ["ksm-storage"]
    command: click.Command | None = cli
    context = click.Context(cli)
    for word in given:
        command = command.get_command(context, word) if isinstance(command, click.Group) else None
        if command is None:
            break
        path.append(word)
    return " ".join(path)
