"""``ksm-storage inject``: replace the references in text files by their values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from ..errors import SettingsError, StorageError
from ..files.lock import locked
from ..files.new_version import make_private_folder
from ..files.reading import resolved
from ..files.replacement import create_file, replace_file
from .commands import FILE_VARIABLE, STDIN, UsageError, command
from .options import PATH, json_option
from .output import echo_err, echo_json, echo_raw
from .references import references_in
from .secret_source import Source, source_options

_MAX_TEMPLATE_BYTES = 10_485_760
_MODE = 0o600
_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@dataclass(frozen=True, slots=True)
class _Template:
    """Say which file is a template, and under which name it is written into a folder."""

    path: str
    name: str
    in_folder: bool


@command()
@source_options
@click.argument("templates", metavar="TEMPLATE...", nargs=-1, required=True, type=PATH)
@click.option(
    "-o",
    "--output",
    metavar="FILE|FOLDER",
    type=PATH,
    help="Write to this file, or for several templates or a folder into this folder.",
)
@click.option("--check", is_flag=True, help="Resolve all references, and write nothing.")
@click.option(
    "--offline-copy",
    metavar="FILE",
    type=PATH,
    help="Keep the last answer sealed in this file, and use it if the server is unreachable.",
)
@json_option
def inject(
    source: Source,
    templates: tuple[str, ...],
    output: str | None,
    check: bool,
    offline_copy: str | None,
    as_json: bool,
) -> None:
    """Replace the keeper:// references in each TEMPLATE, and write to stdout or with -o to a file.

    A reference is written {{ keeper://RECORD/field/NAME }}, or bare where it has no blanks; it may
    end with a default (:-DEFAULT) and transformations (|base64). All are resolved with one request
    before anything is written. A TEMPLATE may be a folder, or '-' for standard input; a '-' that
    other templates follow is PATH.

    Files are replaced atomically and are readable only by you.
    """
    if check and output is not None:
        raise click.UsageError("--check writes nothing: leave out --output")
    if output in _STDOUT:
        output = None
    if source.file.piped is not None and any(each in STDIN for each in templates):
        raise UsageError(
            "standard input holds PATH, and cannot be a TEMPLATE too",
            hint=f"name the sealed file, or set ${FILE_VARIABLE} and leave out PATH",
        )
    found = list(_found(templates))
    into_folder = len(found) > 1 or any(os.path.isdir(path) for path in templates)
    if into_folder and output is None and not check:
        raise click.UsageError("several templates need a folder: --output FOLDER")
    targets = _targets(found, output, into_folder=into_folder)
    contents = {template.path: _read(template) for template in found}
    texts = {path: text for path, text in contents.items() if "\0" not in text}
    references = [each for text in texts.values() for each in references_in(text)]
    resolver = source.resolver(references, offline_copy)
    # All of them, before the first is written. What is not text stays as it is.
    rendered = contents | {path: resolver.render(text, name=path) for path, text in texts.items()}
    for path, target in targets.items():
        _write(target, rendered[path].encode("utf-8", errors="surrogateescape"), _mode_of(path))
    if as_json:
        content = {} if check or output is not None else {"content": rendered[found[0].path]}
        status = "done" if targets else "unchanged"
        written = [
            {"path": each.path, "output": targets.get(each.path), "status": status}
            for each in found
        ]
        echo_json({"references": len(references), "files": written, **content})
    elif check:
        echo_err(f"ok: {len(references)} references in {len(found)} templates")
    elif output is None:
        echo_raw(rendered[found[0].path])
    else:
        for target in targets.values():
            echo_err(f"wrote {target}")


def _targets(
    found: Sequence[_Template], output: str | None, *, into_folder: bool
) -> Mapping[str, str]:
    """Return the file that is written for each template.

    Raises:
        SettingsError: Two templates have the same one, or one is a template itself.
    """
    if output is None:
        return {}
    targets, templates = dict[str, str](), dict[str, str]()
    read = {os.path.realpath(each.path) for each in found}
    for each in found:
        target = os.path.join(output, each.name) if into_folder else output
        real = resolved(target)
        if real in read:
            raise SettingsError(
                f"{target!r} is a template and would be overwritten",
                hint="choose another --output",
            )
        if templates.setdefault(real, each.path) != each.path:
            raise SettingsError(
                f"{templates[real]!r} and {each.path!r} would both be written to {target!r}",
                hint="rename one of them, or write them into folders of their own",
            )
        targets[each.path] = target
    return targets


def _found(templates: Sequence[str]) -> Iterator[_Template]:
    """Yield each template; those of a folder in the order of their names."""
    for given in templates:
        if not os.path.isdir(given):
            yield _Template(given, os.path.basename(given), in_folder=False)
            continue
        for folder, folders, names in os.walk(given):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                yield _Template(path, os.path.relpath(path, given), in_folder=True)


def _read(template: _Template) -> str:
    path = template.path
    if template.in_folder and os.path.exists(path) and not os.path.isfile(path):
        # A pipe would be waited for.
        raise SettingsError(
            f"{path!r} is not a regular file", hint="remove it, or name the templates one by one"
        )
    try:
        if path in STDIN:
            raw = sys.stdin.buffer.read(_MAX_TEMPLATE_BYTES + 1)
        else:
            with open(path, "rb") as file:
                raw = file.read(_MAX_TEMPLATE_BYTES + 1)
    except OSError as exc:
        raise StorageError(f"cannot read {path!r}: {exc.strerror}") from exc
    if len(raw) > _MAX_TEMPLATE_BYTES:
        raise StorageError(f"{path!r} is larger than {_MAX_TEMPLATE_BYTES} bytes")
    if b"\0" in raw and not template.in_folder:
        raise SettingsError(f"{path!r} is not a text file")
    # Bytes that are not UTF-8 come out as they went in.
    return raw.decode("utf-8", errors="surrogateescape")


def _mode_of(path: str) -> int:
    """Return the mode of what is written for a template: a script stays one, for its owner."""
    try:
        executable = path not in STDIN and os.stat(path).st_mode & 0o100
    except OSError:
        return _MODE
    return _MODE | executable


def _write(target: str, content: bytes, mode: int) -> None:
    folder = os.path.dirname(target)
    try:
        if folder:
            make_private_folder(folder)
    except OSError as exc:
        raise StorageError(f"cannot create the folder {folder!r}: {exc.strerror}") from exc
    real = resolved(target)
    with locked(real):
        if os.path.lexists(real):
            replace_file(real, content, mode=mode)
        else:
            create_file(real, content, mode=mode)
