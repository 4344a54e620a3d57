"""``ksm-storage get``, ``set`` and ``delete``: one value of a sealed file."""

from __future__ import annotations

import difflib
import sys

import click

from ..config.fields import FIELDS, is_secret
from ..errors import SettingsError, StorageError
from ..files.reading import not_found
from .commands import command
from .options import PATH, json_option
from .output import ask_secret, echo, echo_err, echo_json
from .sealed_file import SealedFile, sealed_file_options

_MAX_VALUE_BYTES = 1_048_576


@command()
@sealed_file_options
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Print the value even if it is secret.")
@json_option
def get(file: SealedFile, name: str, reveal: bool, as_json: bool) -> None:
    """Print the value NAME (hostname, clientId, ...) of the configuration in PATH."""
    near = _near(name)
    if is_secret(name) and not reveal and not near:
        raise SettingsError(f"the value of {name!r} is secret", hint="add --reveal to print it")
    storage = file.open()
    value = storage.get(name)
    if value is None:
        raise _missing(file.path, name)
    if is_secret(name) and not reveal:
        raise SettingsError(f"the value of {name!r} is secret", hint="add --reveal to print it")
    if as_json:
        echo_json({name: value})
        return
    echo(value)


@command(name="set")
@sealed_file_options
@click.argument("name")
@click.option("--value-file", type=PATH, metavar="FILE", help="Read the value from this file.")
@json_option
def set_value(file: SealedFile, name: str, value_file: str | None, as_json: bool) -> None:
    """Set the value NAME of the configuration in PATH.

    The value is read from a prompt on a terminal, else from standard input; one trailing line end
    is removed. It is never an argument, because other users of the machine could see it.
    """
    # Before the file is opened: a plugin's helper programs must not read it from our stdin.
    value = ask_value(name, value_file)
    if not value:
        raise StorageError(
            f"no value given for {name!r}", hint="use 'ksm-storage delete' to remove it"
        )
    file.open().set(name, value)
    if as_json:
        echo_json({"path": file.path, "name": name, "status": "done"})
        return
    echo_err(f"set {name} in {file.path}")


@command()
@sealed_file_options
@click.argument("name")
@json_option
def delete(file: SealedFile, name: str, as_json: bool) -> None:
    """Remove the value NAME from the configuration in PATH."""
    storage = file.open()
    if not storage.contains(name):
        raise _missing(file.path, name)
    storage.delete(name)
    if as_json:
        echo_json({"path": file.path, "name": name, "status": "done"})
        return
    echo_err(f"deleted {name} from {file.path}")


def ask_value(name: str, value_file: str | None) -> str:
    """Return a value from a file, a prompt or standard input, without one line end at its end.

    Raises:
        StorageError: It cannot be read, is too long, or is not UTF-8.
    """
    if value_file is None and sys.stdin.isatty():
        return ask_secret(name)
    if value_file is None:
        return _decoded(sys.stdin.buffer.read(_MAX_VALUE_BYTES + 1))
    try:
        with open(value_file, "rb") as file:
            return _decoded(file.read(_MAX_VALUE_BYTES + 1))
    except FileNotFoundError as exc:
        raise not_found(value_file) from exc
    except OSError as exc:
        raise StorageError(f"cannot read {value_file!r}: {exc.strerror}") from exc


def _decoded(raw: bytes) -> str:
    if len(raw) > _MAX_VALUE_BYTES:
        raise StorageError(f"the value is longer than {_MAX_VALUE_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise StorageError("the value is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _missing(path: str, name: str) -> StorageError:
    near = _near(name)
    return StorageError(
        f"{path!r} has no value {name!r}", hint=f"did you mean {near!r}?" if near else None
    )


def _near(name: str) -> str | None:
    """Return the field that a name is a misspelling of, None if it is one or like none."""
    if name in FIELDS:
        return None
    return next(iter(difflib.get_close_matches(name, FIELDS, n=1)), None)
