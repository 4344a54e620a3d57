"""``ksm-storage protect``: seal a plain configuration in place."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

import click

from ..batch.provider_queue import FileResult
from ..config.recognise import refuse_unusable
from ..contract.key_wrapper import KeyUri
from ..envelope.codec import decode
from ..envelope.model import Recipient
from ..envelope.opening import candidates
from ..envelope.sealing import refuse_only_offline, wrap_and_verify_new_dek
from ..errors import DecryptionError, KsmStorageError, SettingsError
from ..files.reading import read_file, resolved
from ..keys.discovery import COMPUTED, OFFLINE, resolve_key
from ..keys.kek import KekPool
from ..storage.open_policy import OpenPolicy
from ..storage.plaintext_source import read_plaintext
from ..storage.profiles import read_document
from ..storage.protecting import AlreadySealedError, protect_file, unsealed_file
from ..storage.rewrapping import require_writable
from ..storage.snapshot import existing_envelope
from .commands import command
from .many_files import Files, many_files_options
from .options import (
    Settings,
    context_option,
    json_option,
    key_option,
    setting_option,
    timeout_option,
)
from .output import echo_err

KEYRING_KEY = "os-keyring://default"


@command()
@many_files_options
@key_option
@context_option
@setting_option
@click.option(
    "--from-key",
    metavar="URI",
    help="The key of a file sealed by an official Keeper package, if it differs from --key.",
)
@click.option("--mode", default="0600", metavar="OCTAL", help="The mode of the sealed file.")
@timeout_option
@json_option
def protect(
    files: Files,
    keys: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Settings,
    from_key: str | None,
    mode: str,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Seal PATHS in place: JSON, base64 of JSON, keeper.ini, or an official package's file.

    A file is replaced only after each key has opened the sealed copy. Without --key, a key in the
    operating system's keyring is used if there is one.
    """
    chosen = [str(resolve_key(key)) for key in keys] or [default_key()]
    file_mode = _mode(mode)
    source = None if from_key is None else resolve_key(from_key)

    def work(path: str) -> FileResult:
        if files.dry_run:
            return _would_protect(path, policy, existing, source)
        try:
            done = protect_file(path, policy, mode=file_mode, from_key=source)
        except AlreadySealedError:
            return _unchanged(path, keys, context, existing)
        content = {"form": done.form.value, "keys": list(done.keys)}
        said = (
            f"sealed {path} under {', '.join(done.keys)}",
            *_mode_notes(path, done.mode_before, file_mode),
        )
        return FileResult("sealed", said=said, content=content)

    services = "+".join(sorted({KeyUri.parse(key).provider for key in chosen}))
    with KekPool(settings) as pool:
        policy = OpenPolicy.from_args(chosen, context, settings, pool=pool)
        existing = OpenPolicy.from_args(keys or None, context, settings, pool=pool)
        return files.run(
            work,
            service_of=lambda _: services,
            as_json=as_json,
            timeout=timeout,
            # An official package's file may be sealed under the key of a service.
            forked=COMPUTED if source is None or source.provider in COMPUTED else (),
        )


def _would_protect(
    path: str, policy: OpenPolicy, existing: OpenPolicy, source: KeyUri | None
) -> FileResult:
    uris = policy.keys or ()
    try:
        content = unsealed_file(resolved(path)).content
    except AlreadySealedError:
        given = [str(key) for key in existing.keys or ()]
        return _unchanged(path, given, existing.context, existing)
    keys = [str(key) for key in uris]
    refuse_only_offline(uris)
    policy.require_allowed(uris, path=path)
    require_writable(resolved(path))
    # A key in the OS keyring is made by its first use, which a dry run must not do.
    asked = [key for key in uris if key.provider != KeyUri.parse(KEYRING_KEY).provider]
    if any(key.provider not in OFFLINE for key in asked):
        wrap_and_verify_new_dek(asked, policy.open_kek, context=policy.context)
    plain = read_plaintext(content, uris, source, open_kek=policy.open_kek, name=repr(path))
    refuse_unusable(plain.document, name=repr(path))
    said = (f"would seal {path} ({plain.form.value}) under {', '.join(keys)}",)
    shown = {"form": plain.form.value, "keys": list(keys)}
    return FileResult("would seal", said=said, content=shown, status="skipped")


def _unchanged(
    path: str, keys: Sequence[str], context: Mapping[str, str] | None, policy: OpenPolicy
) -> FileResult:
    _validate_header(path, keys, context)
    # Success is not reported from a header that nobody has authenticated.
    read_document(path, policy)
    said = (f"{path} is already sealed; nothing changed",)
    return FileResult("unchanged", said=said, status="unchanged")


def _validate_header(path: str, keys: Sequence[str], context: Mapping[str, str] | None) -> None:
    header = decode(read_file(resolved(path)).content).header
    _validate_keys(path, header.recipients, keys)
    if context is not None and dict(context) != dict(header.context):
        raise SettingsError(
            f"{path!r} is already sealed with another context",
            hint="'ksm-storage inspect' shows it; to change it, export and protect the file again",
        )


def default_key() -> str:
    """Return the URI of this user's key in the OS keyring.

    Raises:
        SettingsError: The OS keyring is not usable; the hint says what to do.
    """
    from ..providers.os_keyring import has_key

    try:
        exists = has_key(KeyUri.parse(KEYRING_KEY).key_id)
    except SettingsError:
        raise
    except KsmStorageError as exc:
        raise SettingsError(
            f"no --key given, and the default key is not usable: {exc.message}",
            hint=f"{_cure(exc)}; or create a key file with 'ksm-storage keygen /path/app.key' and "
            "pass --key key-file:///path/app.key, or pass a key of a key service "
            "('ksm-storage providers' lists them)",
        ) from exc
    if not exists:
        echo_err(
            f"note: {KEYRING_KEY} will be created in this user's keyring; files sealed under it "
            "are lost with it: back up the keyring, or add a recovery key "
            "('ksm-storage recovery create')"
        )
    return KEYRING_KEY


def _cure(error: KsmStorageError) -> str:
    # Its own advice ends with another key, as the advice here does.
    return (error.hint or "").partition(", or use another key")[0]


def existing_policy(
    path: str, keys: Sequence[str], trust: Sequence[str], settings: Settings
) -> OpenPolicy:
    """Return how a sealed file may be opened by a command that would have created it under keys.

    Raises:
        SettingsError: The file is not sealed under each of the keys.
    """
    if keys:
        _validate_keys(path, existing_envelope(resolved(path), path).header.recipients, keys)
    return OpenPolicy.from_args(trust or keys or None, None, settings)


def _mode_notes(path: str, before: int, after: int) -> Iterator[str]:
    # A mode such as 0644 is what the umask left; one that admits the group alone was chosen.
    if before & 0o070 & ~after and not before & 0o007:
        yield f"note: the mode of {path} was {before:04o} and is now {after:04o}"
        yield f"note: to let the group read it: chmod {before:04o} {shlex.quote(path)}"


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0o400 <= mode <= 0o777:
        raise click.BadParameter(
            f"{text!r} is not an octal mode such as 0600", param_hint="'--mode'"
        )
    return mode


def _validate_keys(path: str, recipients: Sequence[Recipient], keys: Sequence[str]) -> None:
    for key in keys:
        try:
            candidates(recipients, [resolve_key(key)])
        except DecryptionError as exc:
            raise SettingsError(
                f"{path!r} is already sealed, and not under {key}",
                hint="'ksm-storage inspect' lists its keys; 'ksm-storage rewrap' adds one",
            ) from exc
