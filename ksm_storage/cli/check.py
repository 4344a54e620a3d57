"""``ksm-storage check`` and ``accept``: open sealed files without changing them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from ..batch.provider_queue import FileResult
from ..config.document import UNNAMED
from ..envelope.codec import decode
from ..envelope.lineage import Record
from ..envelope.model import Envelope, Header
from ..files.reading import not_found, resolved
from ..keys.discovery import COMPUTED
from ..keys.kek import KekPool
from ..keys.setting_sources import no_memory
from ..storage.open_policy import OpenPolicy
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
from .output import echo_err, echo_json, printable

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
            work,
            service_of=services_in_header(policy.keys),
            as_json=as_json,
            timeout=timeout,
            forked=COMPUTED,
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
    # That this file does not fit the memory is why the command is used.
    free = policy.without_memory()
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


def _would_check(path: str, policy: OpenPolicy) -> FileResult:
    def opened(envelope: Envelope) -> Envelope:
        document_of(policy.open(envelope, path=path).payload)
        return envelope

    envelope = _used(path, opened)
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
        raise not_found(path) from exc
