"""The command and group classes that every command of the command line is made with."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import click

from ..errors import KsmStorageError, UnavailableError
from .process import current_process

FILE_VARIABLE = "KSM_CONFIG_FILE"
# The names that a system has for standard input, which are links to no file if it is a pipe.
STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")

# A name somebody may have meant. Anything else may be a token or a password in the wrong place.
_NAME = re.compile(r"[a-z][a-z-]{0,23}")


class UsageError(click.UsageError):
    """A mistake in how a command was called, with advice of its own."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class PathArgument(click.Argument):
    """The argument PATH, which ``$KSM_CONFIG_FILE`` gives where it is left out."""


# They run for as long as the program or the server does: only the opening is bounded in time.
_LASTING = ("exec", "run", "serve")
# A batch reports the files that are left; this is for a library that does not return.
_GRACE_SECONDS = 2.0


class _Command(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        seconds = ctx.params.get("timeout")
        # Another number is refused by who uses it.
        bounds = isinstance(seconds, float) and 0 < seconds < threading.TIMEOUT_MAX
        process, ends = current_process(), self.name not in _LASTING
        if seconds is not None and bounds and ends:
            grace = _GRACE_SECONDS if "paths" in ctx.params else 0.0
            process.bound(seconds + grace, timed_out(seconds))
        # Those without the option read local files, which is no waiting.
        waits = process.waiting() if ends and "timeout" in ctx.params else nullcontext()
        try:
            with waits:
                return super().invoke(ctx)
        except KsmStorageError as exc:
            path = ctx.params.get("path")
            # What is no file may be a secret in the wrong place.
            if exc.path is None and isinstance(path, str) and os.path.lexists(path):
                exc.path = path
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        path = os.environ.get(FILE_VARIABLE)
        if path and self._lacks_path(ctx, args):
            # In front, where it is the first of the positional arguments.
            args = [f"./{path}" if path.startswith("-") and path != "-" else path, *args]
        ctx.allow_extra_args = True
        surplus = super().parse_args(ctx, args)
        if surplus and not ctx.resilient_parsing:
            # click would repeat them, and a value that belongs into a pipe is easily among them.
            raise click.UsageError(
                f"too many arguments: {len(surplus)} more than expected (not shown: "
                "they may be secret)"
            )
        return surplus

    def _lacks_path(self, ctx: click.Context, args: list[str]) -> bool:
        arguments = [each for each in self.params if isinstance(each, click.Argument)]
        if not arguments or not isinstance(arguments[0], PathArgument):
            return False
        if arguments[-1].type is click.UNPROCESSED:
            # A program and its arguments follow; only "--" tells where they begin.
            return "--" in args and not self._positional(ctx, args[: args.index("--")])
        given = self._positional(ctx, args)
        if len(given) < sum(each.required for each in arguments):
            return True
        if arguments[-1].nargs != -1:
            return False
        # Any number of other files may follow. Before them, standard input is PATH, as everywhere;
        # it is not read here: what a pipe holds can be read once.
        return given[0] not in STDIN and not is_sealed(given[0])

    def _positional(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        options: list[click.Parameter] = [
            each for each in self.get_params(ctx) if isinstance(each, click.Option)
        ]
        try:
            found = click.Command(self.name, params=options).make_parser(ctx).parse_args(list(args))
        except click.UsageError:
            # The real parser says what is wrong.
            return []
        return found[1]


def timed_out(seconds: float) -> UnavailableError:
    """Return the error for a command or file that took longer than ``--timeout``."""
    return UnavailableError(
        f"did not finish within the {seconds:g} s of --timeout",
        hint="raise --timeout; 'ksm-storage doctor PATH' shows which service does not answer",
    )


def is_sealed(path: str) -> bool:
    """Tell whether a path is a file that can be read and begins as an envelope does."""
    from ..envelope.codec import looks_like_envelope

    try:
        with open(path, "rb") as file:
            return looks_like_envelope(file.read(4096))
    except (OSError, ValueError):
        return False


class Group(click.Group):
    """A group that suggests a command for one that was mistyped."""

    command_class = _Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        is_option = name.startswith("-")
        if is_option or ctx.resilient_parsing or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        if not _NAME.fullmatch(name):
            raise click.UsageError("no such command (not shown: it may be a secret)", ctx)
        from difflib import get_close_matches

        near = get_close_matches(name, self.list_commands(ctx), n=1)
        if near:
            hint = f"did you mean '{ctx.command_path} {near[0]}'?"
            raise UsageError(f"no such command {name!r}", hint=hint)
        raise click.UsageError(f"no such command {name!r}", ctx)


def command(
    name: str | None = None, **attributes: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function, as ``click.command`` does."""
    return click.command(name, cls=_Command, **attributes)


def group(name: str | None = None, **attributes: Any) -> Callable[[Callable[..., Any]], Group]:
    """Make a group of a function, as ``click.group`` does."""
    return click.group(name, cls=Group, **attributes)
