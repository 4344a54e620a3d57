"""``ksm-storage inspect``: the header of a sealed file, without a key, plugin or network."""

from __future__ import annotations

import os
import stat

import click

from ..envelope.codec import decode, format_time, looks_like_envelope
from ..envelope.model import SUITE, Header
from ..errors import StorageError
from ..storage.not_sealed import not_sealed
from ..storage.reading import read_file, resolved
from .options import json_option, path_argument
from .output import data, data_as_json, say
from .printable import printable


@click.command()
@path_argument
@json_option
def inspect(path: str, as_json: bool) -> None:
    """Show which keys open PATH and what else its header says.

    Nothing is decrypted, so nothing is verified either: 'check' does that.
    """
    real = resolved(path)
    header = _header(real, path)
    mode = stat.S_IMODE(os.stat(real).st_mode)
    content = _content(header, path, mode)
    if as_json:
        data_as_json(content)
        return
    _print(header, path, mode)
    say("note: read from the header; nothing was decrypted or verified")


def _header(real: str, path: str) -> Header:
    try:
        content = read_file(real).content
    except FileNotFoundError as exc:
        raise StorageError(f"{path!r} does not exist") from exc
    if content and not looks_like_envelope(content):
        raise not_sealed(path, content)
    return decode(content).header


def _content(header: Header, path: str, mode: int) -> dict[str, object]:
    return {
        "path": path,
        "mode": f"{mode:04o}",
        "version": 1,
        "suite": SUITE,
        "envelope_id": header.envelope_id.hex(),
        "created": format_time(header.created),
        "sealed": format_time(header.sealed),
        "revision": header.revision,
        "context": dict(header.context),
        "recipients": [
            {"key": str(recipient.key), "algorithm": recipient.algorithm}
            for recipient in header.recipients
        ],
        "verified": False,
    }


def _print(header: Header, path: str, mode: int) -> None:
    lines = [
        ("file", f"{path} (mode {mode:04o})"),
        ("format", f"envelope v1, suite {SUITE}"),
        ("envelope id", header.envelope_id.hex()),
        ("created", format_time(header.created)),
        ("sealed", format_time(header.sealed)),
        ("revision", str(header.revision)),
        *(("context", f"{name}={value}") for name, value in header.context.items()),
        *(("key", f"{r.key} ({r.algorithm})") for r in header.recipients),
    ]
    for name, value in lines:
        data(printable(f"{name:<12} {value}"))
