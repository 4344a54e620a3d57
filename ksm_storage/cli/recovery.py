"""``ksm-storage recovery``: a key whose secret is kept on paper or in a safe."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence

import click

from ..batch.provider_queue import FileResult
from ..contract.key_wrapper import KeyUri
from ..envelope.model import Envelope
from ..errors import SettingsError
from ..files.reading import resolved
from ..keys.kek import KekPool
from ..providers.recovery_key import SCHEME, SECRET_BYTES, RecoveryKey
from ..providers.recovery_secret import (
    PER_LINE,
    format_recovery_file,
    share_sheets,
    shares_of,
    sheet,
    words_of,
)
from ..storage.open_policy import OpenPolicy
from ..storage.recipient_changes import RecipientChanges
from ..storage.rewrapping import rewrap_file
from ..storage.snapshot import document_of, existing_envelope
from .commands import command, group
from .export import write_new_file
from .many_files import Files, many_files_options
from .options import PATH, Settings, json_option, key_option, setting_option, timeout_option
from .output import echo, echo_err, echo_json
from .recovery_secret import new_passphrase, refuse_list_on_stdin, secret_options, with_secret
from .rewrap import changes_said, content_of, not_removed_notes, unchanged, would_rewrap

_WIDTH = 80


def _read_shares(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Read K/N, as in ``2/3``."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not K/N, for example 2/3")
    return int(found[1]), int(found[2])


@group()
def recovery() -> None:
    """Create, test and use a key whose secret is kept offline.

    Its URI is its public key: 'rewrap --add-key URI' adds it to a file without the secret.
    """


@command(short_help="Create a recovery key and print its URI.")
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Print the secret as 24 words, or its shares.")
@click.option(
    "--shares",
    callback=_read_shares,
    metavar="K/N",
    help="Split the secret into N shares of 33 words, of which any K open the files.",
)
@click.option(
    "--file", "output", type=PATH, metavar="FILE", help="Write it to this new file, encrypted."
)
@click.option(
    "--passphrase-file", type=PATH, metavar="FILE", help="Read the passphrase from this file."
)
@json_option
def create(
    name: str,
    reveal: bool,
    shares: tuple[int, int] | None,
    output: str | None,
    passphrase_file: str | None,
    as_json: bool,
) -> None:
    """Create the recovery key NAME: print its URI, and its secret as words or to a file.

    The secret is stored nowhere else. The file is encrypted with a passphrase, which is prompted
    for. Give each share to a different person or place; fewer than K of them reveal nothing.
    """
    if reveal == (output is not None):
        raise click.UsageError("give either --reveal for words on stdout, or --file FILE")
    if shares and not reveal:
        raise click.UsageError("shares are printed as words: give --reveal, not --file")
    secret = os.urandom(SECRET_BYTES)
    key = RecoveryKey.of(name, secret)
    made: dict[str, object] = {
        "key": f"{SCHEME}://{key.public_id}",
        "recipient": f"{SCHEME}://{key.key_id}",
    }
    if output is not None:
        write_new_file(output, format_recovery_file(key, secret, new_passphrase(passphrase_file)))
        made["file"] = output
        text = ""
    elif shares:
        split = shares_of(secret, needed=shares[0], total=shares[1])
        made["shares"] = split
        text = share_sheets(split, needed=shares[0], per_line=_per_line())
    else:
        made["words"] = words_of(secret)
        text = sheet(words_of(secret), per_line=_per_line())
    if as_json:
        echo_json(made)
    else:
        echo(f"{made['key']}\n{text}".rstrip())
    echo_err(f"note: files will show it as {made['recipient']}")
    echo_err("note: add it to a file with: ksm-storage rewrap PATH --add-key URI")
    echo_err("note: then test that you kept the secret with: ksm-storage recovery test PATH")


def _per_line() -> int:
    """Return how many words a line may have: a terminal that is too narrow would break them."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    return PER_LINE if columns >= _WIDTH else PER_LINE // 2


@command(name="test", short_help="Test that the recovery secret opens each file.")
@many_files_options
@secret_options
@setting_option
@timeout_option
@json_option
def drill(
    files: Files,
    words_files: tuple[str, ...],
    recovery_file: str | None,
    passphrase_file: str | None,
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Open each of PATHS with the recovery secret alone, without changing it.

    The exit code is that of the first file that failed.
    """
    refuse_list_on_stdin(files.lists, words_files, passphrase_file)
    given = with_secret(settings, words_files, recovery_file, passphrase_file)

    def work(path: str) -> FileResult:
        return _would_open(path, given) if files.dry_run else _opened(path, given)

    return files.run(work, service_of=lambda _path: SCHEME, as_json=as_json, timeout=timeout)


@command(short_help="Give files a new key with the recovery secret.")
@many_files_options
@key_option
@click.option("--remove-key", "remove", multiple=True, metavar="URI", help="Remove a lost key.")
@secret_options
@setting_option
@timeout_option
@json_option
def use(
    files: Files,
    keys: tuple[str, ...],
    remove: tuple[str, ...],
    words_files: tuple[str, ...],
    recovery_file: str | None,
    passphrase_file: str | None,
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Open each of PATHS with the recovery secret, and seal its data key under --key as well.

    Anyone who has the recovery key's URI can create a file that it opens: check what is printed
    before you trust the file.
    """
    if not keys:
        raise click.UsageError("--key URI is required: the new key")
    refuse_list_on_stdin(files.lists, words_files, passphrase_file)
    given = with_secret(settings, words_files, recovery_file, passphrase_file)
    changes = RecipientChanges.of(keys, remove, {})
    with KekPool(given) as pool:

        def work(path: str) -> FileResult:
            if files.dry_run:
                return would_rewrap(path, changes, _only_recovery(path, given, pool))
            return _recovered(path, changes, _only_recovery(path, given, pool))

        return files.run(work, service_of=lambda _path: SCHEME, as_json=as_json, timeout=timeout)


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


def _would_open(path: str, settings: Settings) -> FileResult:
    # The run changes nothing either; what it refuses is refused here.
    _opened(path, settings)
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
        f"note: {path} claims: revision {header.revision}, sealed {header.sealed}, "
        f"context {context}",
        "note: anyone with the recovery key's URI can create such a file; compare with a backup",
    ]
    return FileResult("recovered", said=tuple(said), content=content_of(done))


for _command in (create, drill, use):
    recovery.add_command(_command)
