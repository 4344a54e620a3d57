"""Read a recovery secret from a prompt, standard input or a file, never from an argument."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from ..contract.redaction import shown_path
from ..errors import SettingsError
from ..providers.recovery_key import SCHEME
from ..providers.recovery_secret import (
    missing_shares,
    open_recovery_file,
    read_recovery_file,
    secret_of,
    words_of,
)
from .options import PATH, Command, Settings
from .output import ask_secret

# Sixteen shares as they are printed, with the key's URI.
_MAX_BYTES = 16_384


def secret_options(command: Command) -> Command:
    """Add the options that say where the recovery secret is; the default is a prompt for words."""
    for name, what in (
        ("--passphrase-file", "Read the passphrase of the recovery file from this file."),
        ("--recovery-file", "The encrypted file written by 'recovery create --file'."),
    ):
        command = click.option(name, metavar="FILE", type=PATH, help=what)(command)
    what = "Read the recovery words or shares from this file; repeatable."
    return click.option(
        "--words-file", "words_files", multiple=True, metavar="FILE", type=PATH, help=what
    )(command)


def refuse_list_on_stdin(
    lists: Sequence[str], words_files: Sequence[str], passphrase_file: str | None
) -> None:
    """Refuse to read both the list of files and the secret from standard input."""
    if "-" in lists and not words_files and passphrase_file is None:
        raise click.UsageError(
            "standard input cannot be both the list and the secret: use a file for one of them"
        )


def with_secret(
    settings: Settings,
    words_files: Sequence[str],
    recovery_file: str | None,
    passphrase_file: str | None,
) -> Settings:
    """Return the settings with the recovery secret, validated before any file is touched.

    Raises:
        SettingsError: It is missing or invalid.
        DecryptionError: The passphrase is wrong.
    """
    if recovery_file is not None:
        if words_files:
            raise click.UsageError("give either --words-file or --recovery-file")
        sealed = read_recovery_file(recovery_file)
        passphrase = _asked(passphrase_file, "passphrase", confirm=False)
        secret = open_recovery_file(sealed, passphrase)
    else:
        secret = secret_of(_asked_words(words_files))
    # The memory-hard function or the joining of shares runs once, however many files follow.
    words = " ".join(words_of(secret))
    given = {**settings.get(SCHEME, {}), "words": lambda: words}
    return {**settings, SCHEME: given}


def new_passphrase(passphrase_file: str | None) -> str:
    """Return the passphrase for a new file; on a terminal it must be typed twice."""
    return _asked(passphrase_file, "passphrase", confirm=True)


def _asked_words(files: Sequence[str]) -> str:
    """Return the words; on a terminal, shares are prompted for until there are enough."""
    if files:
        return "\n".join(_read(file, "recovery words") for file in files)
    text = _asked(None, "recovery words", confirm=False)
    while sys.stdin.isatty() and (missing := missing_shares(text)):
        more = _asked(None, f"words of another share, {missing} more needed", confirm=False)
        text = f"{text}\n{more}"
    return text


def _asked(file: str | None, what: str, *, confirm: bool) -> str:
    if file is not None:
        return _read(file, what)
    if sys.stdin.isatty():
        return ask_secret(what, confirm=confirm)
    return _decoded(sys.stdin.buffer.read(_MAX_BYTES + 1), what)


def _read(path: str, what: str) -> str:
    try:
        with open(path, "rb") as file:
            return _decoded(file.read(_MAX_BYTES + 1), what)
    except OSError as exc:
        # What is not a path may be the words themselves.
        raise SettingsError(
            f"cannot read the file {shown_path(path)} for the {what}: {exc.strerror}",
            hint=f"pass the path of a readable file that contains the {what}",
        ) from exc


def _decoded(raw: bytes, what: str) -> str:
    text = None if len(raw) > _MAX_BYTES else _utf_8(raw)
    if not text:
        # No cause: it would hold what was given.
        raise SettingsError(
            f"invalid {what}: empty, not UTF-8, or longer than {_MAX_BYTES} bytes",
            hint="type it at the prompt, pipe it in, or pass a file that contains it",
        )
    return text


def _utf_8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return None
