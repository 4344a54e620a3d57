"""``ksm-storage check`` and ``inspect``: look at sealed files without changing them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import TypeVar

from ..batch.provider_queue import FileResult
from ..config.document import UNNAMED
from ..envelope.codec import decode, format_time, looks_like_envelope
from ..envelope.lineage import Record
from ..envelope.model import SUITE, Envelope, Header
from ..errors import SettingsError, StorageError
from ..files.reading import read_file, resolved
from ..keys.dek_cache import configured_cache
from ..keys.kek import KekPool
from ..keys.setting_sources import no_memory
from ..storage.open_policy import OpenPolicy
from ..storage.plaintext_source import wrong_format
from ..storage.snapshot import document_of, with_envelope
from .commands import command
from .many_files import Files, many_files_options, services_in_header
from .options import (
    Settings,
    context_option,
    json_option,
    path_argument,
    setting_option,
    time_options,
    trust_option,
)
from .output import echo, echo_err, echo_json, printable
from .sealed_file import STDIN, read_stdin

_Result = TypeVar("_Result")


@command()
@many_files_options
@trust_option
@context_option
@setting_option
@time_options
@json_option
def check(
    files: Files,
    trust: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Settings,
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> int:
    """Open each of PATHS as an application would, and print the key that opened it."""
    with KekPool(settings) as pool:
        policy = OpenPolicy.from_args(trust or None, context, settings, pool=pool)
        policy = policy.with_timeout(timeout, hedge)

        def work(path: str) -> FileResult:
            return _would_check(path, policy) if files.dry_run else _checked(path, policy)

        return files.run(
            work, service_of=services_in_header(policy.keys), as_json=as_json, timeout=timeout
        )


@command()
@path_argument
@trust_option
@context_option
@setting_option
@time_options
@json_option
def accept(
    path: str,
    trust: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Settings,
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> None:
    """Take PATH in the place of the file that was opened there before.

    PATH is opened first, as by 'check'. Use this after a restore from a backup, or after the file
    of another device was put in place on purpose.
    """
    policy = OpenPolicy.from_args(trust or None, context, settings)
    policy = policy.with_timeout(timeout, hedge)
    # Without the rules' memory: that this file does not fit it is why the command is used.
    free = policy._replace(rules=tuple(rule._replace(memory=None) for rule in policy.rules))
    continuity = policy.continuity(path)
    with no_memory():
        envelope, opened = _used(path, lambda found: (found, free.open(found, path=path)))
    before = continuity.replace(envelope, opened.dek, os.path.abspath(path))
    header = envelope.header
    if as_json:
        recorded = next((_record_as_dict(each) for each in before if each is not None), None)
        echo_json({"path": path, "recorded": recorded, "accepted": _file_as_dict(header)})
        return
    for each in before:
        if each is not None and each.envelope_id != header.envelope_id:
            echo_err(f"was: envelope {each.envelope_id.hex()}, revision {each.revision}")
        elif each is not None:
            echo_err(f"was: generation {each.generation}, revision {each.revision}")
    echo_err(
        f"accepted {printable(path)}: envelope {header.envelope_id.hex()}, generation "
        f"{header.generation}, revision {header.revision}"
    )
    if not before:
        echo_err("note: nothing is remembered here, so nothing had to be accepted")


def _record_as_dict(record: Record) -> dict[str, object]:
    return {
        "envelope_id": record.envelope_id.hex(),
        "generation": record.generation,
        "revision": record.revision,
    }


def _file_as_dict(header: Header) -> dict[str, object]:
    return {
        "envelope_id": header.envelope_id.hex(),
        "generation": header.generation,
        "revision": header.revision,
    }


@command()
@path_argument
@json_option
def inspect(path: str, as_json: bool) -> None:
    """Show the header of PATH: its keys, its context and when it was sealed.

    Nothing is decrypted, so nothing is verified; use 'check' for that.
    """
    if path in STDIN:
        header, mode = decode(read_stdin()).header, None
    else:
        real = resolved(path)
        header, mode = _header(real, path), stat.S_IMODE(os.stat(real).st_mode)
    kept = _kept(header)
    if as_json:
        echo_json({**_header_as_dict(header, path, mode), "cache": kept})
        return
    _print_header(header, path, mode)
    for line in kept:
        echo(printable(f"{'cache':<12} {line}"))
    echo_err("note: the header was read, but not decrypted or verified")


def _kept(header: Header) -> list[str]:
    try:
        cache = configured_cache(None)
    except SettingsError as exc:
        # A header can be read without any settings.
        echo_err(f"note: {exc.message}")
        return []
    return [] if cache is None else list(cache.shown(each.key for each in header.recipients))


def _would_check(path: str, policy: OpenPolicy) -> FileResult:
    def parsed(envelope: Envelope) -> Envelope:
        policy.check(envelope, path=path)
        return envelope

    envelope = _used(path, parsed)
    keys = [str(recipient.key) for recipient in envelope.header.recipients]
    line = f"would open {path} under {', '.join(keys)}"
    return FileResult("would open", said=(line,), content={"keys": keys}, status="skipped")


def _checked(path: str, policy: OpenPolicy) -> FileResult:
    envelope, opened = _used(path, lambda envelope: (envelope, policy.open(envelope, path=path)))
    document = document_of(opened.payload)
    revision, key = envelope.header.revision, str(opened.recipient.key)
    content = {
        "revision": revision,
        "opened_by": key,
        "profiles": [name for name in document.profiles if name != UNNAMED],
    }
    return FileResult("ok", printed=(f"ok {path} revision {revision} by {key}",), content=content)


def _used(path: str, use: Callable[[Envelope], _Result]) -> _Result:
    try:
        return with_envelope(resolved(path), lambda found: use(decode(found.content)))
    except FileNotFoundError as exc:
        raise StorageError(f"{path!r} does not exist") from exc


def _header(real: str, path: str) -> Header:
    try:
        content = read_file(real).content
    except FileNotFoundError as exc:
        raise StorageError(f"{path!r} does not exist") from exc
    if content and not looks_like_envelope(content):
        raise wrong_format(path, content)
    return decode(content).header


def _header_as_dict(header: Header, path: str, mode: int | None) -> dict[str, object]:
    return {
        "path": path,
        "mode": None if mode is None else f"{mode:04o}",
        "version": 1,
        "suite": SUITE,
        "envelope_id": header.envelope_id.hex(),
        "created": format_time(header.created),
        "sealed": format_time(header.sealed),
        "revision": header.revision,
        "generation": header.generation,
        "context": dict(header.context),
        "recipients": [
            {"key": str(recipient.key), "algorithm": recipient.algorithm}
            for recipient in header.recipients
        ],
        "verified": False,
    }


def _print_header(header: Header, path: str, mode: int | None) -> None:
    lines = [
        ("file", path if mode is None else f"{path} (mode {mode:04o})"),
        ("format", f"envelope v1, suite {SUITE}"),
        ("envelope id", header.envelope_id.hex()),
        ("created", format_time(header.created)),
        ("sealed", format_time(header.sealed)),
        ("revision", str(header.revision)),
        *([("generation", str(header.generation))] if header.generation > 1 else []),
        *(("context", f"{name}={value}") for name, value in header.context.items()),
        *(("key", f"{r.key} ({r.algorithm})") for r in header.recipients),
    ]
    for name, value in lines:
        echo(printable(f"{name:<12} {value}"))
