"""``ksm-storage inject``: replace the references in text files by their values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

import click

from ..errors import SettingsError, StorageError
from ..files.lock import locked
from ..files.reading import resolved
from ..files.replacement import create_file, replace_file
from .commands import command
from .options import PATH, json_option
from .output import echo_err, echo_json, echo_raw
from .references import references_in
from .secret_source import Source, source_options

_MAX_TEMPLATE_BYTES = 10_485_760
_MODE = 0o600
_STDIN = "-"


@command()
@source_options
@click.argument("templates", metavar="TEMPLATE...", nargs=-1, required=True, type=PATH)
@click.option(
    "-o",
    "--output",
    metavar="FILE|FOLDER",
    help="Write to this file, or for several templates or a folder into this folder.",
)
@click.option("--check", is_flag=True, help="Resolve all references, and write nothing.")
@click.option(
    "--offline-copy",
    metavar="FILE",
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
    before anything is written. A TEMPLATE may be a folder, or '-' for standard input.

    Files are replaced atomically and are readable only by you.
    """
    if check and output is not None:
        raise click.UsageError("--check writes nothing: leave out --output")
    found = list(_found(templates))
    into_folder = len(found) > 1 or any(os.path.isdir(path) for path in templates)
    if into_folder and output is None and not check:
        raise click.UsageError("several templates need a folder: --output FOLDER")
    targets = _targets(found, output, into_folder=into_folder)
    contents = {path: _read(path) for path, _ in found}
    references = [each for text in contents.values() for each in references_in(text)]
    resolver = source.resolver(references, offline_copy)
    # All of them, before the first is written.
    rendered = {path: resolver.render(text, name=path) for path, text in contents.items()}
    for path, target in targets.items():
        _write(target, rendered[path].encode("utf-8", errors="surrogateescape"))
    if as_json:
        content = {} if check or output is not None else {"content": rendered[found[0][0]]}
        status = "done" if targets else "unchanged"
        written = [
            {"path": path, "output": targets.get(path), "status": status} for path, _ in found
        ]
        echo_json({"references": len(references), "files": written, **content})
    elif check:
        echo_err(f"ok: {len(references)} references in {len(found)} templates")
    elif output is None:
        echo_raw(rendered[found[0][0]])
    else:
        for target in targets.values():
            echo_err(f"wrote {target}")


def _targets(
    found: Sequence[tuple[str, str]], output: str | None, *, into_folder: bool
) -> dict[str, str]:
    if output is None:
        return {}
    targets, templates = dict[str, str](), dict[str, str]()
    for path, name in found:
        target = os.path.join(output, name) if into_folder else output
        if templates.setdefault(resolved(target), path) != path:
            raise SettingsError(
                f"{templates[resolved(target)]!r} and {path!r} would both be written to {target!r}",
                hint="rename one of them, or write them into folders of their own",
            )
        targets[path] = target
    return targets


def _found(templates: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the path of each template, and its name in an output folder."""
    for given in templates:
        if not os.path.isdir(given):
            yield given, os.path.basename(given)
            continue
        for folder, _, names in os.walk(given):
            for name in sorted(names):
                path = os.path.join(folder, name)
                yield path, os.path.relpath(path, given)


def _read(path: str) -> str:
    try:
        if path == _STDIN:
            raw = sys.stdin.buffer.read(_MAX_TEMPLATE_BYTES + 1)
        else:
            with open(path, "rb") as file:
                raw = file.read(_MAX_TEMPLATE_BYTES + 1)
    except OSError as exc:
        raise StorageError(f"cannot read {path!r}: {exc.strerror}") from exc
    if len(raw) > _MAX_TEMPLATE_BYTES:
        raise StorageError(f"{path!r} is larger than {_MAX_TEMPLATE_BYTES} bytes")
    if b"\0" in raw:
        raise SettingsError(f"{path!r} is not a text file")
    # Bytes that are not UTF-8 come out as they went in.
    return raw.decode("utf-8", errors="surrogateescape")


def _write(target: str, content: bytes) -> None:
    folder = os.path.dirname(target)
    try:
        if folder:
            os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as exc:
        raise StorageError(f"cannot create the folder {folder!r}: {exc.strerror}") from exc
    real = resolved(target)
    with locked(real):
        if os.path.lexists(real):
            replace_file(real, content, mode=_MODE)
        else:
            create_file(real, content, mode=_MODE)
