"""``ksm-storage recovery create``: make a recovery key."""

from __future__ import annotations

import os

import click

from ..errors import StorageError
from ..providers.recovery_key import SCHEME, SECRET_BYTES, RecoveryKey
from ..providers.recovery_secret import format_recovery_file, sheet, words_of
from ..storage.file import create_file
from ..storage.lock import locked
from ..storage.reading import resolved
from .options import json_option
from .output import data, data_as_json, say
from .recovery_input import new_passphrase

_FILE_MODE = 0o600


@click.command(short_help="Make a recovery key: its URI and its secret.")
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Print the secret as 24 words.")
@click.option("--file", "output", metavar="FILE", help="Write it to this new file, encrypted.")
@click.option("--passphrase-file", metavar="FILE", help="Read the passphrase from this file.")
@json_option
def create(
    name: str, reveal: bool, output: str | None, passphrase_file: str | None, as_json: bool
) -> None:
    """Make the recovery key NAME: print its URI, and its secret as words or to a file.

    The secret is kept nowhere else. The file is encrypted to a passphrase, which is asked for.
    """
    if reveal == (output is not None):
        raise click.UsageError("give either --reveal for words on stdout, or --file FILE")
    secret = os.urandom(SECRET_BYTES)
    key = RecoveryKey.of(name, secret)
    uri = f"{SCHEME}://{key.key_id}"
    if output is not None:
        _write_new(output, format_recovery_file(key, secret, new_passphrase(passphrase_file)))
    words = words_of(secret) if reveal else []
    if as_json:
        data_as_json({"key": uri, "words": words} if words else {"key": uri, "file": output})
    else:
        data("\n".join([uri, sheet(words)]) if words else uri)
    say(f"note: add it to a file with: ksm-storage rewrap PATH --add-key {uri}")
    say("note: then prove that the secret was kept well with: ksm-storage recovery test PATH")


def _write_new(output: str, content: bytes) -> None:
    real = resolved(output)
    with locked(real):
        if os.path.lexists(real):
            raise StorageError(f"{output!r} exists already", hint="name a file that does not exist")
        create_file(real, content, mode=_FILE_MODE)
