"""``ksm-storage recovery use``: open a file with the recovery secret and give it another key."""

from __future__ import annotations

import click

from ..envelope.codec import format_time
from ..envelope.model import Envelope
from ..errors import KsmStorageError
from ..storage.reading import resolved
from ..storage.rewrapping import existing_envelope, rewrap
from .options import key_option, setting_option
from .output import report, say
from .recovery_drill import recovery_keys
from .recovery_input import Settings, secret_options, with_secret


@click.command(short_help="Give files another key by the recovery secret.")
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@key_option
@click.option("--remove-key", "remove", multiple=True, metavar="URI", help="Remove a lost key.")
@secret_options
@setting_option
def use(
    paths: tuple[str, ...],
    keys: tuple[str, ...],
    remove: tuple[str, ...],
    words_file: str | None,
    recovery_file: str | None,
    passphrase_file: str | None,
    settings: Settings,
) -> int:
    """Open each of PATHS with the recovery secret, and wrap it under the keys given by --key.

    Whoever has the recovery key's URI can make a file that it opens: look at what is printed
    before you trust the file.
    """
    if not keys:
        raise click.UsageError("name the new key with --key URI")
    given = with_secret(settings, words_file, recovery_file, passphrase_file)
    failures: list[KsmStorageError] = []
    for path in paths:
        try:
            _recovered(path, keys, remove, given)
        except KsmStorageError as exc:
            failures.append(exc)
            report(exc, as_json=False)
    return failures[0].exit_code if failures else 0


def _recovered(
    path: str, keys: tuple[str, ...], remove: tuple[str, ...], settings: Settings
) -> None:
    envelope = existing_envelope(resolved(path), path)
    trusted = recovery_keys(envelope, path)
    done = rewrap(path, add=keys, remove=remove, trusted=trusted, settings=settings)
    if not done.changed:
        say(f"{path} has these keys already; nothing changed")
        return
    for key in done.added:
        say(f"wrapped {path} under {key}")
    for key in done.removed:
        say(f"removed {key} from {path}")
    say(f"note: {path} says of itself: {_said(envelope)}")
    say("note: who has the URI of the recovery key can make such a file; compare with a backup")


def _said(envelope: Envelope) -> str:
    header = envelope.header
    context = ",".join(f"{name}={value}" for name, value in header.context.items()) or "(none)"
    sealed = format_time(header.sealed)
    return f"revision {header.revision}, sealed {sealed}, context {context}"
