"""``ksm-storage recovery test``: prove that the recovery secret opens each file."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..envelope.model import Envelope
from ..errors import KsmStorageError, SettingsError
from ..key_uri import KeyUri
from ..providers.recovery_key import SCHEME
from ..storage.reading import resolved
from ..storage.rewrapping import existing_envelope
from ..storage.state import document_of
from ..storage.trust import Trust
from .options import json_option, setting_option
from .output import data, data_as_json, report
from .printable import printable
from .recovery_input import Settings, secret_options, with_secret


@click.command(name="test", short_help="Prove that the recovery secret opens each file.")
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@secret_options
@setting_option
@json_option
def drill(
    paths: tuple[str, ...],
    words_file: str | None,
    recovery_file: str | None,
    passphrase_file: str | None,
    settings: Settings,
    as_json: bool,
) -> int:
    """Open each of PATHS with the recovery secret alone, and change nothing.

    The exit code is that of the first file that failed.
    """
    given = with_secret(settings, words_file, recovery_file, passphrase_file)
    results: list[dict[str, object]] = []
    failures: list[KsmStorageError] = []
    for path in paths:
        try:
            results.append(_proved(path, given))
        except KsmStorageError as exc:
            failures.append(exc)
            report(exc, as_json=as_json)
    if as_json and results:
        data_as_json(results)
    for result in [] if as_json else results:
        line = f"ok {result['path']} revision {result['revision']} by {result['opened_by']}"
        data(printable(line))
    return failures[0].exit_code if failures else 0


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


def _proved(path: str, settings: Settings) -> dict[str, object]:
    envelope = existing_envelope(resolved(path), path)
    # Pinned, so that no other key can open the file in its place.
    opened = Trust.of(recovery_keys(envelope, path), None, settings).open(envelope, path=path)
    document_of(opened.payload)
    return {
        "path": path,
        "revision": envelope.header.revision,
        "opened_by": str(opened.recipient.key),
    }
