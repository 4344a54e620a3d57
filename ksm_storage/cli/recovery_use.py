"""``ksm-storage recovery use``: open a file with the recovery secret and give it another key."""

from __future__ import annotations

import click

from ..batch.provider_queue import FileResult
from ..envelope.codec import format_time
from ..envelope.model import Envelope
from ..keys.kek import KekPool
from ..storage.open_policy import OpenPolicy
from ..storage.reading import resolved
from ..storage.recipient_changes import RecipientChanges
from ..storage.rewrapping import existing_envelope, rewrap_file
from .many_files import Files, many_files_options
from .options import key_option, setting_option
from .recovery_drill import recovery_keys, recovery_service
from .recovery_input import Settings, refuse_list_on_stdin, secret_options, with_secret
from .rewrap import not_removed_notes, said_of_no_change, would_rewrap


@click.command(short_help="Give files another key by the recovery secret.")
@many_files_options
@key_option
@click.option("--remove-key", "remove", multiple=True, metavar="URI", help="Remove a lost key.")
@secret_options
@setting_option
def use(
    files: Files,
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
    refuse_list_on_stdin(files.lists, words_file, passphrase_file)
    given = with_secret(settings, words_file, recovery_file, passphrase_file)
    changes = RecipientChanges.of(keys, remove, {})
    with KekPool(given) as pool:

        def work(path: str) -> FileResult:
            if files.dry_run:
                return would_rewrap(path, changes, _trust(path, given, pool))
            return _recovered(path, changes, _trust(path, given, pool))

        return files.run(work, service_of=recovery_service, as_json=False)


def _trust(path: str, settings: Settings, pool: KekPool) -> OpenPolicy:
    keys = recovery_keys(_envelope(path), path)
    return OpenPolicy.from_args(keys, None, settings, pool=pool)


def _envelope(path: str) -> Envelope:
    return existing_envelope(resolved(path), path)


def _recovered(path: str, changes: RecipientChanges, trust: OpenPolicy) -> FileResult:
    before = _said(_envelope(path))
    done = rewrap_file(path, changes, trust)
    if not done.changed:
        return FileResult("skipped", said=said_of_no_change(path, changes))
    said = [f"wrapped {path} under {key}" for key in done.added]
    said += [f"removed {key} from {path}" for key in done.removed]
    said += not_removed_notes(path, changes, done.removed)
    said += [
        f"note: {path} says of itself: {before}",
        "note: who has the URI of the recovery key can make such a file; compare with a backup",
    ]
    return FileResult("recovered", said=tuple(said))


def _said(envelope: Envelope) -> str:
    header = envelope.header
    context = ",".join(f"{name}={value}" for name, value in header.context.items()) or "(none)"
    sealed = format_time(header.sealed)
    return f"revision {header.revision}, sealed {sealed}, context {context}"
