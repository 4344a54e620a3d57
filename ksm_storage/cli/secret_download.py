"""``ksm-storage secret download``: a file of a record."""

from __future__ import annotations

import os
import re

import click

from ..engine import KeeperFile, Record, SecretNotFoundError
from ..errors import StorageError
from .output import say
from .secret_lookup import Source, find_record, source_options
from .secret_value import print_value

_STDOUT = "-"
_UID = re.compile(r"[A-Za-z0-9_-]{2,64}")


@click.command(short_help="Write a file of a record to disk or stdout.")
@source_options
@click.argument("name", metavar="UID|TITLE")
@click.argument("filename")
@click.option(
    "--output",
    metavar="FILE",
    help='Write to this new file, or to stdout for "-" [default: FILENAME here].',
)
def download(source: Source, name: str, filename: str, output: str | None) -> None:
    """Write the file FILENAME (its name, title or uid) of a record to a new file.

    The file is readable by you alone. Its size and integrity are checked before it is written.
    """
    file = _find_file(find_record(source.connect(), name), filename)
    target = _safe_name(file, asked=filename) if output is None else output
    if target != _STDOUT and os.path.lexists(target):
        raise StorageError(f"{target!r} exists already", hint="name another with --output")
    content = file.get_file_data()
    if target == _STDOUT:
        print_value(content)
        return
    _write_new(target, content)
    say(f"wrote {len(content)} bytes to {target}")


def _find_file(record: Record, name: str) -> KeeperFile:
    found = [file for file in record.files if name in (file.name, file.title, file.uid)]
    if len(found) != 1:
        names = ", ".join(f"{file.name} ({file.uid})" for file in record.files)
        raise SecretNotFoundError(
            f"{len(found)} files of the record match {name!r}",
            hint=f"its files are: {names or 'none'}",
        )
    return found[0]


def _safe_name(file: KeeperFile, *, asked: str) -> str:
    # Whoever may edit the record chooses the name, which must not lead out of this folder.
    name = file.name.replace("\\", "/").rpartition("/")[2]
    # Nor be one that a program reads unasked, such as .bashrc, unless it was asked for.
    is_hidden = name.startswith(".") and (name != asked or name in (".", ".."))
    if name in ("", _STDOUT) or "\0" in name or is_hidden or not _is_text(name):
        name = file.uid
    # The uid is the uploader's choice as well.
    if name == file.uid and not _UID.fullmatch(name):
        raise StorageError("the file has no name that can be used here", hint="give --output")
    return name


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write_new(target: str, content: bytes) -> None:
    try:
        with open(target, "xb", opener=_private) as file:
            try:
                file.write(content)
                file.flush()
            except BaseException:
                # A part would look like the file, and keep a second try from writing it.
                os.unlink(target)
                raise
    except OSError as exc:
        raise StorageError(f"cannot write {target!r}: {exc.strerror}") from exc


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
