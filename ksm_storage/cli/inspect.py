"""``ksm-storage inspect``: show the header of a sealed file; loads no cryptography for it."""

from __future__ import annotations

import os
import stat

from ..envelope.codec import decode, looks_like_envelope
from ..envelope.model import SUITE, Header
from ..errors import SettingsError
from ..files.reading import not_found, read_file, resolved
from ..keys.dek_cache import configured_cache
from ..keys.trust_rules import all_rules
from .commands import STDIN, command
from .options import json_option, path_argument
from .output import echo_err, echo_json, echo_line
from .sealed_file import read_stdin


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
    kept = _kept(header, None if path in STDIN else path)
    if as_json:
        echo_json({**_header_as_dict(header, path, mode), "cache": kept})
        return
    _print_header(header, path, mode)
    for line in kept:
        echo_line(f"{'cache':<12} {line}")
    echo_err("note: the header was read, but not decrypted or verified")


def _kept(header: Header, path: str | None) -> list[str]:
    try:
        cache = configured_cache(None)
        rules = all_rules() if cache is not None else ()
    except SettingsError as exc:
        # A header can be read without any settings.
        echo_err(f"note: {exc.message}")
        return []
    if cache is None:
        return []
    cache = cache.within(rule for rule in rules if rule.applies_to(path))
    return list(cache.shown(each.key for each in header.recipients))


def _header(real: str, path: str) -> Header:
    try:
        content = read_file(real).content
    except FileNotFoundError as exc:
        raise not_found(path) from exc
    if content and not looks_like_envelope(content):
        from ..storage.plaintext_source import wrong_format

        raise wrong_format(path, content)
    return decode(content).header


def _header_as_dict(header: Header, path: str, mode: int | None) -> dict[str, object]:
    return {
        "path": path,
        "mode": None if mode is None else f"{mode:04o}",
        "version": 1,
        "suite": SUITE,
        "envelope_id": header.envelope_id.hex(),
        "created": header.created,
        "sealed": header.sealed,
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
        ("created", header.created),
        ("sealed", header.sealed),
        ("revision", str(header.revision)),
        *([("generation", str(header.generation))] if header.generation > 1 else []),
        *(("context", f"{name}={value}") for name, value in header.context.items()),
        *(("key", f"{r.key} ({r.algorithm})") for r in header.recipients),
    ]
    for name, value in lines:
        echo_line(f"{name:<12} {value}")
