"""``ksm-storage protect``: seal a plain configuration where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from ..batch.provider_queue import FileResult
from ..config.recognise import Form, recognise, refuse_empty
from ..contract.key_uri import KeyUri
from ..envelope.codec import decode
from ..envelope.model import Recipient
from ..envelope.opening import candidates
from ..errors import DecryptionError, SettingsError
from ..keys.discovery import resolve_key
from ..keys.kek import KekPool
from ..storage.open_policy import OpenPolicy
from ..storage.protecting import AlreadySealedError, protect_file, unsealed_file
from ..storage.reading import read_file, resolved
from ..storage.unsealed import is_officially_sealed
from .many_files import Files, many_files_options
from .options import context_option, json_option, key_option, setting_option

KEYRING_KEY = "os-keyring://default"


@click.command()
@many_files_options
@key_option
@context_option
@setting_option
@click.option(
    "--from-key",
    metavar="URI",
    help="The key of a file that one of Keeper's own packages sealed, if it is no --key.",
)
@click.option("--mode", default="0600", metavar="OCTAL", help="The sealed file's mode.")
@json_option
def protect(
    files: Files,
    keys: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Mapping[str, Mapping[str, object]],
    from_key: str | None,
    mode: str,
    as_json: bool,
) -> int:
    """Seal what is in PATHS: JSON, base64 of JSON, keeper.ini, or an official package's file.

    A file is replaced only after the sealed copy was opened again by each key. Without --key
    the key is kept in the operating system's keyring, where there is one.
    """
    chosen = [str(resolve_key(key)) for key in keys] or [default_key()]
    file_mode = _mode(mode)
    source = None if from_key is None else resolve_key(from_key)

    def work(path: str) -> FileResult:
        if files.dry_run:
            return _would_protect(path, chosen, keys, context, source)
        try:
            done = protect_file(resolved(path), policy, mode=file_mode, from_key=source)
        except AlreadySealedError:
            return _skipped(path, keys, context)
        content = {"path": done.path, "form": done.form.value, "keys": list(done.keys)}
        said = tuple(f"sealed {path} under {key}" for key in done.keys)
        return FileResult("sealed", said=said, content=content)

    services = "+".join(sorted({KeyUri.parse(key).provider for key in chosen}))
    with KekPool(settings) as pool:
        policy = OpenPolicy.from_args(chosen, context, settings, pool=pool)
        return files.run(work, service_of=lambda _: services, as_json=as_json, one_object=True)


def _would_protect(
    path: str,
    keys: Sequence[str],
    given: Sequence[str],
    context: Mapping[str, str] | None,
    source: KeyUri | None,
) -> FileResult:
    try:
        content = unsealed_file(resolved(path)).content
    except AlreadySealedError:
        return _skipped(path, given, context)
    if is_officially_sealed(content, [KeyUri.parse(key) for key in keys], source):
        form = Form.OFFICIAL
    else:
        plain = recognise(content, name=repr(path))
        refuse_empty(plain.document, name=repr(path))
        form = plain.form
    said = tuple(f"would seal {path} ({form.value}) under {key}" for key in keys)
    return FileResult("would seal", said=said, content={"path": path, "form": form.value})


def _skipped(path: str, keys: Sequence[str], context: Mapping[str, str] | None) -> FileResult:
    header = decode(read_file(resolved(path)).content).header
    _check_same_keys(path, header.recipients, keys)
    if context is not None and dict(context) != dict(header.context):
        raise SettingsError(
            f"{path!r} is sealed already, and not with this context",
            hint="'ksm-storage inspect' shows its context, which stays as it was sealed; to have "
            "another, export it and protect it anew",
        )
    return FileResult("skipped", said=(f"{path} is sealed already; nothing changed",))


def default_key() -> str:
    """Return the URI of this user's key in the OS keyring.

    Raises:
        SettingsError: There is no usable OS keyring; the hint says what to choose.
    """
    from ..providers.os_keyring import is_usable

    if not is_usable():
        raise SettingsError(
            "no key is named, and this machine has no usable OS keyring",
            hint="make a key file with 'ksm-storage keygen /path/app.key' and pass "
            "--key key-file:///path/app.key, or name a key of a key service: "
            "'ksm-storage providers' lists them",
        )
    return KEYRING_KEY


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0o400 <= mode <= 0o777:
        raise click.BadParameter(f"{text!r} is no mode such as 0600", param_hint="'--mode'")
    return mode


def _check_same_keys(path: str, recipients: Sequence[Recipient], keys: Sequence[str]) -> None:
    for key in keys:
        try:
            candidates(recipients, [resolve_key(key)])
        except DecryptionError as exc:
            raise SettingsError(
                f"{path!r} is sealed already, and not under {key}",
                hint="'ksm-storage inspect' shows its keys",
            ) from exc
