"""``ksm-storage recovery test``: prove that the recovery secret opens each file."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..batch.provider_queue import FileResult
from ..contract.key_uri import KeyUri
from ..envelope.model import Envelope
from ..errors import SettingsError
from ..providers.recovery_key import SCHEME
from ..storage.open_policy import OpenPolicy
from ..storage.reading import resolved
from ..storage.rewrapping import existing_envelope
from ..storage.state import document_of
from .many_files import Files, many_files_options
from .options import json_option, setting_option
from .recovery_input import Settings, refuse_list_on_stdin, secret_options, with_secret


@click.command(name="test", short_help="Prove that the recovery secret opens each file.")
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
    """Open each of PATHS with the recovery secret alone, and change nothing.

    The exit code is that of the first file that failed.
    """
    refuse_list_on_stdin(files.lists, words_file, passphrase_file)
    given = with_secret(settings, words_file, recovery_file, passphrase_file)

    def work(path: str) -> FileResult:
        return _would_prove(path) if files.dry_run else _proved(path, given)

    return files.run(work, service_of=recovery_service, as_json=as_json)


def recovery_service(_path: str) -> str:
    """Name the one service that bounds files which are opened by a recovery key."""
    return SCHEME


def recovery_keys(envelope: Envelope, path: str) -> Sequence[KeyUri]:
    """Return the recovery keys among the recipients.

    Raises:
        SettingsError: There is none.
    """
    found = [r.key for r in envelope.header.recipients if r.key.provider == SCHEME]
    if not found:
        raise SettingsError(
            f"{path!r} has no recovery key",
            hint=f"add one with: ksm-storage rewrap {path} --add-key {SCHEME}://...",
        )
    return found


def _would_prove(path: str) -> FileResult:
    keys = recovery_keys(existing_envelope(resolved(path), path), path)
    shown = [str(key) for key in keys]
    line = f"would open {path} by {', '.join(shown)}"
    return FileResult("would open", said=(line,), content={"path": path, "keys": shown})


def _proved(path: str, settings: Settings) -> FileResult:
    envelope = existing_envelope(resolved(path), path)
    # Pinned, so that no other key can open the file in its place.
    opened = OpenPolicy.from_args(recovery_keys(envelope, path), None, settings).open(
        envelope, path=path
    )
    document_of(opened.payload)
    revision, key = envelope.header.revision, str(opened.recipient.key)
    content = {"path": path, "revision": revision, "opened_by": key}
    return FileResult("ok", printed=(f"ok {path} revision {revision} by {key}",), content=content)
