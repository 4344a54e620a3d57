"""``ksm-storage recovery``: a key whose secret is kept on paper or in a safe."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

import click

from ..batch.provider_queue import FileResult
from ..contract.key_uri import KeyUri
from ..envelope.codec import format_time
from ..envelope.model import Envelope
from ..errors import SettingsError
from ..files.reading import resolved
from ..keys.kek import KekPool
from ..providers.recovery_key import SCHEME, SECRET_BYTES, RecoveryKey
from ..providers.recovery_secret import format_recovery_file, sheet, words_of
from ..storage.open_policy import OpenPolicy
from ..storage.recipient_changes import RecipientChanges
from ..storage.rewrapping import rewrap_file
from ..storage.snapshot import document_of, existing_envelope
from .commands import command, group
from .export import write_new_file
from .many_files import Files, many_files_options
from .options import Settings, json_option, key_option, setting_option
from .output import echo, echo_err, echo_json
from .recovery_secret import new_passphrase, refuse_list_on_stdin, secret_options, with_secret
from .rewrap import changes_said, content_of, not_removed_notes, unchanged, would_rewrap


@group()
def recovery() -> None:
    """Create, test and use a key whose secret is kept offline.

    Its URI is its public part: 'rewrap --add-key URI' adds it to a file without the secret.
    """


@command(short_help="Create a recovery key and print its URI.")
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Print the secret as 24 words.")
@click.option("--file", "output", metavar="FILE", help="Write it to this new file, encrypted.")
@click.option("--passphrase-file", metavar="FILE", help="Read the passphrase from this file.")
@json_option
def create(
    name: str, reveal: bool, output: str | None, passphrase_file: str | None, as_json: bool
) -> None:
    """Create the recovery key NAME: print its URI, and its secret as words or to a file.

    The secret is stored nowhere else. The file is encrypted with a passphrase, which is prompted
    for.
    """
    if reveal == (output is not None):
        raise click.UsageError("give either --reveal for words on stdout, or --file FILE")
    secret = os.urandom(SECRET_BYTES)
    key = RecoveryKey.of(name, secret)
    uri = f"{SCHEME}://{key.key_id}"
    if output is not None:
        write_new_file(output, format_recovery_file(key, secret, new_passphrase(passphrase_file)))
    words = words_of(secret) if reveal else []
    if as_json:
        echo_json({"key": uri, "words": words} if words else {"key": uri, "file": output})
    else:
        echo("\n".join([uri, sheet(words)]) if words else uri)
    echo_err(f"note: add it to a file with: ksm-storage rewrap PATH --add-key {uri}")
    echo_err("note: then test that you kept the secret with: ksm-storage recovery test PATH")


@command(name="test", short_help="Test that the recovery secret opens each file.")
@many_files_options
@secret_options
@setting_option
@json_option
def drill(
    files: Files,
    words_file: str | None,
    recovery_file: str | None,
    passphrase_file: str | None,
    settings: Settings,
    as_json: bool,
) -> int:
    """Open each of PATHS with the recovery secret alone, without changing it.

    The exit code is that of the first file that failed.
    """
    refuse_list_on_stdin(files.lists, words_file, passphrase_file)
    given = with_secret(settings, words_file, recovery_file, passphrase_file)

    def work(path: str) -> FileResult:
        return _would_open(path) if files.dry_run else _opened(path, given)

    return files.run(work, service_of=lambda _path: SCHEME, as_json=as_json)


@command(short_help="Give files a new key with the recovery secret.")
@many_files_options
@key_option
@click.option("--remove-key", "remove", multiple=True, metavar="URI", help="Remove a lost key.")
@secret_options
@setting_option
@json_option
def use(
    files: Files,
    keys: tuple[str, ...],
    remove: tuple[str, ...],
    words_file: str | None,
    recovery_file: str | None,
    passphrase_file: str | None,
    settings: Settings,
    as_json: bool,
) -> int:
    """Open each of PATHS with the recovery secret, and seal its data key under --key as well.

    Anyone who has the recovery key's URI can create a file that it opens: check what is printed
    before you trust the file.
    """
    if not keys:
        raise click.UsageError("--key URI is required: the new key")
    refuse_list_on_stdin(files.lists, words_file, passphrase_file)
    given = with_secret(settings, words_file, recovery_file, passphrase_file)
    changes = RecipientChanges.of(keys, remove, {})
    with KekPool(given) as pool:

        def work(path: str) -> FileResult:
            if files.dry_run:
                return would_rewrap(path, changes, _only_recovery(path, given, pool))
            return _recovered(path, changes, _only_recovery(path, given, pool))

        return files.run(work, service_of=lambda _path: SCHEME, as_json=as_json)


def _recovery_keys(envelope: Envelope, path: str) -> Sequence[KeyUri]:
    found = [r.key for r in envelope.header.recipients if r.key.provider == SCHEME]
    if not found:
        raise SettingsError(
            f"{path!r} has no recovery key",
            hint=f"add one with: ksm-storage rewrap {shlex.quote(path)} --add-key {SCHEME}://...",
        )
    return found


def _only_recovery(path: str, settings: Settings, pool: KekPool) -> OpenPolicy:
    """Pin the recovery keys of a file, so that no other key can open it instead."""
    envelope = existing_envelope(resolved(path), path)
    keys = _recovery_keys(envelope, path)
    return OpenPolicy.from_args(keys, None, settings, pool=pool)


def _would_open(path: str) -> FileResult:
    keys = _recovery_keys(existing_envelope(resolved(path), path), path)
    shown = [str(key) for key in keys]
    line = f"would open {path} with {', '.join(shown)}"
    return FileResult("would open", said=(line,), content={"keys": shown}, status="skipped")


def _opened(path: str, settings: Settings) -> FileResult:
    envelope = existing_envelope(resolved(path), path)
    trust = OpenPolicy.from_args(_recovery_keys(envelope, path), None, settings)
    opened = trust.open(envelope, path=path)
    document_of(opened.payload)
    revision, key = envelope.header.revision, str(opened.recipient.key)
    content = {"revision": revision, "opened_by": key}
    return FileResult("ok", printed=(f"ok {path} revision {revision} by {key}",), content=content)


def _recovered(path: str, changes: RecipientChanges, trust: OpenPolicy) -> FileResult:
    header = existing_envelope(resolved(path), path).header
    context = ",".join(f"{name}={value}" for name, value in header.context.items()) or "(none)"
    done = rewrap_file(path, changes, trust)
    if not done.changed:
        return unchanged(path, changes, done)
    said = changes_said(path, "wrapped", done.added, done.removed)
    said += not_removed_notes(path, changes, done.removed)
    said += [
        f"note: {path} claims: revision {header.revision}, sealed {format_time(header.sealed)}, "
        f"context {context}",
        "note: anyone with the recovery key's URI can create such a file; compare with a backup",
    ]
    return FileResult("recovered", said=tuple(said), content=content_of(done))


for _command in (create, drill, use):
    recovery.add_command(_command)
