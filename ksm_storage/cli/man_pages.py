"""A manual page for each command, made from what the command itself says.

``python -m ksm_storage.cli.man_pages FOLDER`` writes them.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .. import __version__
from .command_tree import all_commands

_EXIT_STATUS = {
    0: "Done.",
    1: "An error inside ksm-storage.",
    2: "The command was called wrongly, or a setting is missing or unusable.",
    3: "No usable plugin for the provider.",
    4: "The key service refused or failed.",
    5: "The key service is out of reach or asks for patience.",
    6: "Not an envelope, damaged, or not to be decrypted; or what was looked for was found.",
    7: "The file could not be read, locked or written.",
    8: "The Keeper server refused.",
    126: "exec: the program cannot be run.",
    127: "exec: the program was not found.",
    130: "Interrupted.",
    141: "Nobody reads standard output any more.",
}


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


if __name__ == "__main__":
    write_man_pages(Path(sys.argv[1]))
