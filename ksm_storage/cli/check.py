"""``ksm-storage check``: open sealed files and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from ..batch.provider_queue import FileResult
from ..config.document import UNNAMED
from ..envelope.codec import decode
from ..envelope.model import Envelope
from ..errors import StorageError
from ..keys.kek import KekPool
from ..storage.envelope_file import use_envelope
from ..storage.open_policy import OpenPolicy
from ..storage.reading import resolved
from ..storage.state import document_of
from .many_files import Files, many_files_options, services_in_header
from .options import context_option, json_option, setting_option, trusted_key_option
from .pace_options import pace_options

_Result = TypeVar("_Result")


@click.command()
@many_files_options
@trusted_key_option
@context_option
@setting_option
@pace_options
@json_option
def check(
    files: Files,
    keys: tuple[str, ...],
    context: Mapping[str, str] | None,
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
    as_json: bool,
) -> int:
    """Open each of PATHS as an application would, and say which key opened it."""
    with KekPool(settings) as pool:
        trust = OpenPolicy.from_args(keys or None, context, settings, pool=pool)
        trust = trust.with_timeout(timeout, hedge)

        def work(path: str) -> FileResult:
            return _would_check(path, trust) if files.dry_run else _checked(path, trust)

        return files.run(work, service_of=services_in_header(trust.keys), as_json=as_json)


def _would_check(path: str, trust: OpenPolicy) -> FileResult:
    def parsed(envelope: Envelope) -> Envelope:
        trust.check(envelope, path=path)
        return envelope

    envelope = _used(path, parsed)
    keys = [str(recipient.key) for recipient in envelope.header.recipients]
    line = f"would open {path} under {', '.join(keys)}"
    return FileResult("would open", said=(line,), content={"path": path, "keys": keys})


def _checked(path: str, trust: OpenPolicy) -> FileResult:
    envelope, opened = _used(path, lambda envelope: (envelope, trust.open(envelope, path=path)))
    document = document_of(opened.payload)
    revision, key = envelope.header.revision, str(opened.recipient.key)
    content = {
        "path": path,
        "revision": revision,
        "opened_by": key,
        "profiles": [name for name in document.profiles if name != UNNAMED],
    }
    return FileResult("ok", printed=(f"ok {path} revision {revision} by {key}",), content=content)


def _used(path: str, use: Callable[[Envelope], _Result]) -> _Result:
    try:
        return use_envelope(resolved(path), lambda found: use(decode(found.content)))
    except FileNotFoundError as exc:
        raise StorageError(f"{path!r} does not exist") from exc
