"""``ksm-storage rewrap``: change the keys that open a sealed file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from ..batch.provider_queue import FileResult
from ..contract.key_uri import refuse_pin
from ..keys.kek import KekPool
from ..storage.open_policy import OpenPolicy
from ..storage.reading import resolved
from ..storage.recipient_changes import RecipientChanges
from ..storage.rewrapping import Rewrapped, existing_envelope, rewrap_file
from .many_files import Files, many_files_options, services_in_header
from .options import context_option, json_option, setting_option, trusted_key_option
from .pace_options import pace_options


@click.command()
@many_files_options
@click.option("--add-key", "add", multiple=True, metavar="URI", help="Add a key; repeatable.")
@click.option(
    "--remove-key", "remove", multiple=True, metavar="URI", help="Remove a key; repeatable."
)
@click.option(
    "--replace-key",
    "replace",
    multiple=True,
    metavar="OLD=NEW",
    help="Put a key in the place of another, or of an older version of itself; repeatable.",
)
@trusted_key_option
@context_option
@setting_option
@pace_options
@json_option
def rewrap(
    files: Files,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    replace: tuple[str, ...],
    keys: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> int:
    """Add, remove or replace keys of PATHS; the sealed payload stays as it is.

    The DEK is unwrapped once and wrapped once under each new key, which must unwrap it again
    before the file is replaced. The same command again changes nothing.
    """
    if not (add or remove or replace):
        raise click.UsageError("give --add-key, --remove-key or --replace-key")
    changes = RecipientChanges.of(add, remove, dict(_pair(text) for text in replace))
    with KekPool(settings) as pool:
        trust = OpenPolicy.from_args(keys or None, context, settings, pool=pool)
        trust = trust.with_timeout(timeout, hedge)

        def work(path: str) -> FileResult:
            if files.dry_run:
                return would_rewrap(path, changes, trust)
            return _rewrapped(rewrap_file(path, changes, trust), path, changes)

        service_of = services_in_header(trust.keys)
        return files.run(work, service_of=service_of, as_json=as_json, one_object=True)


def unproven_notes(keys: Sequence[str], path: str) -> list[str]:
    """Say which keys were never seen to unwrap, and how to see it."""
    notes: list[str] = []
    for key in keys:
        notes += [
            f"note: {key} was not proved: its secret is kept offline",
            f"note: prove it with: ksm-storage recovery test {path}",
        ]
    return notes


def _pair(text: str) -> tuple[str, str]:
    refuse_pin(text)
    # A key id may hold "=", as pkcs11 URIs do: the "=" that is meant stands before a new URI.
    for at, character in enumerate(text):
        old, new = text[:at], text[at + 1 :]
        if character == "=" and old and _begins_a_key(new):
            return old, new
    raise click.BadParameter(f"{text!r} is not OLD=NEW", param_hint="'--replace-key'")


def _begins_a_key(text: str) -> bool:
    provider, separator, _ = text.partition("://")
    return bool(separator) and provider.replace("-", "").isalnum()


def _content(done: Rewrapped) -> dict[str, object]:
    return {
        "path": done.path,
        "changed": done.changed,
        "revision": done.revision,
        "keys": list(done.keys),
        "added": list(done.added),
        "removed": list(done.removed),
        "unproven": list(done.unproven),
    }


def would_rewrap(path: str, changes: RecipientChanges, trust: OpenPolicy) -> FileResult:
    """Say what a rewrap would do to a file, without a call to a key service."""
    envelope = existing_envelope(resolved(path), path, trust)
    before = envelope.header.recipients
    wanted = [str(key) for key in changes.to_wrap(before)]
    if not wanted and changes.applied(before, {}) == before:
        return FileResult("skipped", said=said_of_no_change(path, changes))
    under = f"; wrapped anew under {', '.join(wanted)}" if wanted else ""
    content = {"path": path, "wanted": wanted}
    return FileResult("would rewrap", said=(f"would rewrap {path}{under}",), content=content)


def said_of_no_change(path: str, changes: RecipientChanges) -> tuple[str, ...]:
    """Say that a file has the keys that it was to have."""
    unchanged = f"{path} has these keys already; nothing changed"
    return (unchanged, *not_removed_notes(path, changes, ()))


def not_removed_notes(
    path: str, changes: RecipientChanges, removed: Sequence[str]
) -> Iterator[str]:
    """Say which keys that were to be removed the file does not name."""
    # One that was removed before is none of its keys either; whoever mistyped a key, or named it
    # by an alias, must not take it for removed.
    for key in changes.remove:
        if not any(f"{name}/".startswith(f"{key}/") for name in removed):
            yield f"note: {path} names no key {key}: none was removed"


def _rewrapped(done: Rewrapped, path: str, changes: RecipientChanges) -> FileResult:
    if not done.changed:
        return FileResult("skipped", said=said_of_no_change(path, changes), content=_content(done))
    said = [f"wrapped {path} under {key}" for key in done.added]
    said += [f"removed {key} from {path}" for key in done.removed]
    if done.removed:
        said += [
            "note: who unwrapped the DEK through a removed key may still know it",
            f"note: to take that knowledge away: ksm-storage rekey {path}",
        ]
    said += [*not_removed_notes(path, changes, done.removed), *unproven_notes(done.unproven, path)]
    return FileResult("rewrapped", said=tuple(said), content=_content(done))
