"""``ksm-storage rewrap`` and ``rekey``: change the keys that open sealed files."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

import click

from ..batch.provider_queue import FileResult
from ..contract.key_wrapper import KeyUri, refuse_credentials
from ..envelope.opening import covers
from ..errors import KsmStorageError
from ..files.reading import resolved
from ..keys.discovery import COMPUTED, OFFLINE
from ..keys.kek import KekPool
from ..storage.open_policy import OpenPolicy, read_key
from ..storage.recipient_changes import RecipientChanges, Replacements, names
from ..storage.rekeying import Rekeyed, rehearse_rekey, rekey_file
from ..storage.rewrapping import Rewrapped, rehearse_rewrap, rewrap_file
from ..storage.snapshot import existing_envelope
from .commands import UsageError, command
from .many_files import Files, many_files_options, services_in_header
from .options import (
    Settings,
    context_option,
    json_option,
    setting_option,
    time_options,
    trust_option,
)
from .rekey_progress import RekeyProgress


@command()
@many_files_options
@click.option("--add-key", "add", multiple=True, metavar="URI", help="Add this key; repeatable.")
@click.option(
    "--remove-key", "remove", multiple=True, metavar="URI", help="Remove this key; repeatable."
)
@click.option(
    "--replace-key",
    "replace",
    multiple=True,
    metavar="OLD=NEW",
    help="Replace the key OLD by NEW; repeatable.",
)
@click.option("--refresh", is_flag=True, help="Wrap again under the newest version of each key.")
@trust_option
@context_option
@setting_option
@time_options
@json_option
def rewrap(
    files: Files,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    replace: tuple[str, ...],
    refresh: bool,
    trust: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Settings,
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> int:
    """Add, remove, replace or refresh the keys of PATHS; the sealed payload stays the same.

    The data key is unwrapped once and wrapped under each new key, which must unwrap it again
    before the file is replaced. Repeating the command with --add-key, --remove-key or
    --replace-key changes nothing more.
    """
    if not (add or remove or replace or refresh):
        raise click.UsageError(
            "one of --add-key, --remove-key, --replace-key, --refresh is required"
        )
    pairs: Replacements = dict(map(_pair, replace))
    for old, new in pairs.items():
        _refuse_itself(old, new)
    # A mistake in it is one of the command, not one of each file.
    named = RecipientChanges.of(add, remove, pairs) if add or remove or replace else None
    with KekPool(settings) as pool:
        policy = OpenPolicy.from_args(trust or None, context, settings, pool=pool)
        policy = policy.with_timeout(timeout, hedge)

        def work(path: str) -> FileResult:
            changes = named
            if changes is None or refresh:
                changes = RecipientChanges.of(add, remove, _replacements(path, remove, pairs))
            if files.dry_run:
                return would_rewrap(path, changes, policy)
            return _rewrapped(rewrap_file(path, changes, policy), path, changes)

        # A refresh wraps under each key of a file again, whichever may open it.
        opened_by = None if refresh else policy.keys
        return files.run(
            work,
            service_of=services_in_header(opened_by),
            as_json=as_json,
            timeout=timeout,
            forked=_forked(*add, *pairs.values()),
        )


@command()
@many_files_options
@click.option(
    "--new-key",
    "new_keys",
    multiple=True,
    metavar="URI",
    help="Also seal under this key; repeatable.",
)
@click.option(
    "--remove-key", "remove", multiple=True, metavar="URI", help="Remove this key; repeatable."
)
@trust_option
@context_option
@setting_option
@time_options
@json_option
def rekey(
    files: Files,
    new_keys: tuple[str, ...],
    remove: tuple[str, ...],
    trust: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Settings,
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> int:
    """Seal each of PATHS under a new data key, which invalidates the old one.

    Every key of the file is kept, in its newest version, unless --remove-key names it. Each key
    must unwrap the new data key before the file is replaced. Copies of the old file still open
    with the old data key.

    If the command is interrupted or a file fails, repeat it within a day to continue with the
    remaining files.
    """
    with KekPool(settings) as pool:
        policy = OpenPolicy.from_args(trust or None, context, settings, pool=pool)
        policy = policy.with_timeout(timeout, hedge)

        progress = RekeyProgress(files, [new_keys, remove])
        add, gone = ([read_key(key) for key in each] for each in (new_keys, remove))

        def work(path: str) -> FileResult:
            if files.dry_run:
                wanted = rehearse_rekey(path, policy, add=add, remove=gone)
                shown = [str(key) for key in wanted]
                said = (f"would rekey {path} under {', '.join(shown)}",)
                return FileResult(
                    "would rekey", said=said, content={"keys": shown}, status="skipped"
                )
            envelope = existing_envelope(resolved(path), path)
            if progress.has(path, envelope):
                # Never report success from a header that is not authenticated.
                policy.open(envelope, path=path)
                line = f"{path} was already rekeyed by the interrupted run; nothing changed"
                return FileResult("unchanged", said=(line,), status="unchanged")
            done = rekey_file(path, policy, add, gone)
            progress.add(path)
            return _rekeyed(done, path)

        service_of = services_in_header(policy.keys)
        code = files.run(work, service_of=service_of, as_json=as_json, timeout=timeout)
        if code == 0:
            progress.finish()
        return code


def _unproven_notes(keys: Sequence[str], path: str) -> list[str]:
    """Say which keys were not seen to unwrap, and how to test them."""
    notes: list[str] = []
    for key in keys:
        notes += [
            f"note: {key} was not tested: its secret is kept offline",
            f"note: test it with: ksm-storage recovery test {shlex.quote(path)}",
        ]
    return notes


def _forked(*new_keys: str | KeyUri) -> Collection[str]:
    """Return whose files may be changed in copies of the process; none if a service takes part."""
    providers = {read_key(key).provider for key in new_keys}
    return COMPUTED if providers <= COMPUTED | OFFLINE else ()


def _pair(text: str) -> tuple[str, str]:
    refuse_credentials(text)
    # A key name may contain "=", as pkcs11 URIs do: the one that separates has a key on each side.
    for at, character in enumerate(text):
        if character == "=" and _is_key(text[:at]) and _is_key(text[at + 1 :]):
            return text[:at], text[at + 1 :]
    old, separator, new = text.rpartition("=")
    if separator and _is_key(old):
        # Says what is wrong with the new key.
        read_key(new)
    raise click.BadParameter(f"{text!r} is not OLD=NEW", param_hint="'--replace-key'")


def _refuse_itself(old: str | KeyUri, new: str | KeyUri) -> None:
    if (key := read_key(new)) == read_key(old):
        raise UsageError(
            f"cannot replace the key {str(key)!r} by itself",
            hint="to wrap again under the newest version of each key, use --refresh",
        )


def _is_key(text: str) -> bool:
    try:
        read_key(text)
    except KsmStorageError:
        return False
    return True


def _replacements(path: str, remove: Sequence[str], replace: Replacements) -> Replacements:
    """Return the replacements, and each other key of a file as its own: in its newest version."""
    named = [read_key(key) for key in (*remove, *replace)]
    recipients = existing_envelope(resolved(path), path).header.recipients
    own = (
        recipient.key
        for recipient in recipients
        # A key that is kept offline has no newer version.
        if recipient.key.provider not in OFFLINE and not any(names(key, recipient) for key in named)
    )
    return {**replace, **{key: key for key in own}}


def content_of(done: Rewrapped) -> dict[str, object]:
    """Return what a rewrap did to a file as plain data."""
    return {
        "revision": done.revision,
        "keys": list(done.keys),
        "added": list(done.added),
        "removed": list(done.removed),
        "unproven": list(done.unproven),
    }


def would_rewrap(path: str, changes: RecipientChanges, trust: OpenPolicy) -> FileResult:
    """Say what a rewrap would do to a file, after doing all of it but writing the file."""
    keys, changed = rehearse_rewrap(path, changes, trust)
    wanted = [str(key) for key in keys]
    if not changed:
        line = f"{path} already has these keys; nothing to change"
        said = (line, *not_removed_notes(path, changes, ()))
        return FileResult("unchanged", said=said, content={"keys": []}, status="unchanged")
    under = f", wrapping under {', '.join(wanted)}" if wanted else ""
    said = (f"would rewrap {path}{under}",)
    return FileResult("would rewrap", said=said, content={"keys": wanted}, status="skipped")


def unchanged(path: str, changes: RecipientChanges, done: Rewrapped) -> FileResult:
    """Say that there was nothing to change in a file."""
    line = f"{path} already has these keys; nothing changed"
    said = (line, *not_removed_notes(path, changes, ()))
    return FileResult("unchanged", said=said, content=content_of(done), status="unchanged")


def changes_said(path: str, verb: str, keys: Sequence[str], removed: Sequence[str]) -> list[str]:
    """Return one line each for the keys that a file now has and those that were removed."""
    said = [f"{verb} {path} under {', '.join(keys)}"] if keys else []
    return [*said, f"removed {', '.join(removed)} from {path}"] if removed else said


def not_removed_notes(
    path: str, changes: RecipientChanges, removed: Sequence[str]
) -> Iterator[str]:
    """Say which keys to remove are not in the file."""
    # One that was removed earlier is not in it either; but whoever mistyped a key, or named it by
    # an alias, must not believe it removed.
    for key in changes.remove:
        # The whole URI of a recovery key is longer than the one by which a file names it.
        offline = key.provider in OFFLINE
        if not any(
            f"{name}/".startswith(f"{key}/") or (offline and covers(key, read_key(name)))
            for name in removed
        ):
            yield f"note: {path} has no key {key} to remove"


def _rewrapped(done: Rewrapped, path: str, changes: RecipientChanges) -> FileResult:
    if not done.changed:
        return unchanged(path, changes, done)
    said = changes_said(path, "wrapped", done.added, done.removed)
    if done.removed:
        said += [
            "note: holders of a removed key may have kept the data key",
            f"note: invalidate it with: ksm-storage rekey {shlex.quote(path)}",
        ]
    said += [*not_removed_notes(path, changes, done.removed), *_unproven_notes(done.unproven, path)]
    return FileResult("rewrapped", said=tuple(said), content=content_of(done))


def _rekeyed(done: Rekeyed, path: str) -> FileResult:
    content = {
        "revision": done.revision,
        "keys": list(done.keys),
        "removed": list(done.removed),
        "unproven": list(done.unproven),
    }
    said = changes_said(path, "sealed", done.keys, done.removed)
    said += _unproven_notes(done.unproven, path)
    return FileResult("rekeyed", said=tuple(said), content=content)
