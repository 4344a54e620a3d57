"""What the commands say of themselves: completion scripts, manual pages, the reference page.

``python -m ksm_storage.cli.pages man FOLDER`` writes a manual page for each command, and
``python -m ksm_storage.cli.pages reference FILE`` the page of the documentation that holds the
help text of each.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click

from .. import __version__
from .commands import command
from .options import json_option
from .output import echo, echo_json

_REFERENCE = """\
# Command line reference

The `--help` text of every command, written by `make reference` and checked by a test.
[The command line](cli.md) explains how the commands are used.
"""

_EXIT_STATUS = {
    0: "Success.",
    1: "Internal error of ksm-storage.",
    2: "Invalid usage, or a missing or invalid setting.",
    3: "No usable plugin for the key provider.",
    4: "The key service rejected the request or failed.",
    5: "The key service is unreachable or throttling; retry.",
    6: "Not a sealed file, damaged, or cannot be decrypted; or a scan or check found something.",
    7: "A file could not be read, locked or written.",
    8: "The Keeper server rejected the request.",
    126: "exec: the program cannot be run.",
    127: "exec: the program was not found.",
    130: "Interrupted.",
    141: "The reader of standard output has exited.",
}


@command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion script for SHELL; source it from the shell's start-up file."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"completion is not available for {shell}")
    root = ctx.find_root().command
    script = kind(root, {}, "ksm-storage", "_KSM_STORAGE_COMPLETE").source()
    if as_json:
        echo_json({"shell": shell, "script": script})
    else:
        echo(script)


@command()
@click.argument("name", type=click.Choice(["output", "policy", "settings"]))
@json_option
def schema(name: str, as_json: bool) -> None:  # noqa: ARG001  # it is JSON in any case
    """Print the JSON Schema of what --json prints, of a policy for 'status', or of settings.toml.

    Editors validate a file whose first line names its schema: #:schema ./settings.schema.json.
    """
    place = files(__package__ or "").joinpath("schemas", f"{name}.schema.json")
    echo(place.read_text(encoding="utf-8").rstrip())


def all_commands() -> Iterator[click.Context]:
    """Yield a context for ``ksm-storage`` itself, and one for each command below it, by name."""
    from .program import cli

    yield from _below(_context(cli, "ksm-storage", None))


def reference_page() -> str:
    """Return the help text of each command as a page in Markdown."""
    sections = (
        f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n"
        for context in all_commands()
    )
    return "\n".join([_REFERENCE, *sections])


def write_man_pages(folder: Path) -> list[Path]:
    """Write a page of section 1 for each command into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    contexts = list(all_commands())
    written = []
    for context in contexts:
        path = folder / f"{_page_name(context)}.1"
        path.write_text(_page(context, contexts), encoding="utf-8", newline="\n")
        written.append(path)
    return written


def _page(context: click.Context, contexts: list[click.Context]) -> str:
    name = _page_name(context)
    version = f'"ksm\\-storage {__version__}"'
    lines = [
        # Without a date: the same code makes the same page.
        f'.TH "{_escaped(name.upper())}" 1 "" {version} "ksm\\-storage manual"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(_first_sentence(context))}",
        ".SH SYNOPSIS",
        f"\\fB{_escaped(context.command_path)}\\fR {_escaped(_arguments(context))}",
        ".SH DESCRIPTION",
        *_description(context),
        *_section("OPTIONS", _options(context)),
        *_section("COMMANDS", _subcommands(context)),
    ]
    if context.parent is None:
        codes = ((str(code), text) for code, text in _EXIT_STATUS.items())
        lines += _section("EXIT STATUS", codes)
    lines += [".SH SEE ALSO", ", ".join(_related(context, contexts))]
    return "\n".join(lines) + "\n"


def _page_name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _first_sentence(context: click.Context) -> str:
    text = _paragraphs(context)[0]
    return text.split(". ", maxsplit=1)[0].rstrip(".")


def _arguments(context: click.Context) -> str:
    return " ".join(context.command.collect_usage_pieces(context))


def _paragraphs(context: click.Context) -> list[str]:
    text = inspect.cleandoc(context.command.help or "")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _description(context: click.Context) -> Iterator[str]:
    for number, paragraph in enumerate(_paragraphs(context)):
        if number:
            yield ".PP"
        yield _escaped(paragraph)


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield record


def _subcommands(context: click.Context) -> Iterator[tuple[str, str]]:
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield name, command.get_short_help_str(limit=200)


def _section(title: str, entries: Iterator[tuple[str, str]]) -> Iterator[str]:
    for number, (term, text) in enumerate(entries):
        if not number:
            yield f".SH {title}"
        yield ".TP"
        yield f"\\fB{_escaped(term)}\\fR"
        yield _escaped(" ".join(text.split()))


def _related(context: click.Context, contexts: list[click.Context]) -> Iterator[str]:
    for other in contexts:
        if other.parent is context or other is context.parent:
            yield f"\\fB{_escaped(_page_name(other))}\\fR(1)"


def _escaped(text: str) -> str:
    # A line that begins with a dot or a quote would be taken for a request.
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _below(_context(found, name, context))


def _context(found: click.Command, name: str, parent: click.Context | None) -> click.Context:
    # As click would print it on a terminal of 80 columns, whatever terminal it is made on.
    return click.Context(found, parent, info_name=name, terminal_width=78, **found.context_settings)


if __name__ == "__main__":
    _what, _place = sys.argv[1], Path(sys.argv[2])
    if _what == "man":
        write_man_pages(_place)
    else:
        _place.write_text(reference_page(), encoding="utf-8", newline="\n")
