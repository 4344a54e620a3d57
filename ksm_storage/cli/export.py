"""``ksm-storage export``: write the configuration in the clear, when asked to."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from ..audit.events import emit
from ..config.document import Document
from ..config.ini_form import format_ini
from ..envelope.codec import decode
from ..errors import StorageError
from ..storage.envelope_file import LOCK_TIMEOUT_SECONDS, use_envelope
from ..storage.file import create_file
from ..storage.lock import locked
from ..storage.open_policy import OpenPolicy
from ..storage.reading import FileContent, resolved
from ..storage.state import document_of
from .export_forms import FORMS, NAMED_FORMS
from .options import path_argument, profile_option, setting_option, trusted_key_option
from .output import data, say
from .pace_options import pace_options

_OUTPUT_MODE = 0o600


@click.command()
@path_argument
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMS, "ini"]),
    default="json",
    show_default=True,
    help="The form to write.",
)
@click.option(
    "--name", metavar="NAME", help="The variable's name for env, the Secret's for k8s-secret."
)
@click.option("--output", metavar="FILE", help="Write to this new file, readable by you alone.")
@click.option("--reveal", is_flag=True, help="Write to stdout.")
@profile_option
@trusted_key_option
@setting_option
@pace_options
def export(
    path: str,
    form: str,
    name: str | None,
    output: str | None,
    reveal: bool,
    profile: str | None,
    keys: tuple[str, ...],
    settings: Mapping[str, Mapping[str, object]],
    timeout: float | None,
    hedge: float | None,
) -> None:
    """Write the configuration in PATH in the clear, to a new file or, revealed, to stdout."""
    if (output is None) == (not reveal):
        raise click.UsageError("give either --output FILE, or --reveal to write to stdout")
    if name is not None and form not in NAMED_FORMS:
        raise click.UsageError("--name goes with the formats env and k8s-secret")
    document = _opened(
        path, OpenPolicy.from_args(keys or None, None, settings).with_timeout(timeout, hedge)
    )
    plain = _formatted(document, form, profile, name).rstrip(b"\n").decode("utf-8")
    emit("exported", path=path, form=form)
    if output is None:
        data(plain)
        return
    _write_new(output, f"{plain}\n".encode())
    say(f"wrote the plain configuration to {output}; remove it when it has served")


def _opened(path: str, trust: OpenPolicy) -> Document:
    def opened(found: FileContent) -> Document:
        return document_of(trust.open(decode(found.content), path=path).payload)

    try:
        return use_envelope(resolved(path), opened)
    except FileNotFoundError as exc:
        raise StorageError(f"{path!r} does not exist") from exc


def _formatted(document: Document, form: str, profile: str | None, name: str | None) -> bytes:
    # The INI form holds all profiles, so none of them need be chosen.
    if form == "ini" and profile is None:
        return format_ini(document)
    chosen = document.chosen(profile)
    config = document.profiles[chosen]
    if form == "ini":
        return format_ini(Document({chosen: config}))
    return FORMS[form](config, name)


def _write_new(output: str, plain: bytes) -> None:
    real = resolved(output)
    with locked(real, timeout_seconds=LOCK_TIMEOUT_SECONDS):
        if os.path.lexists(real):
            raise StorageError(f"{output!r} exists already", hint="name a file that does not exist")
        create_file(real, plain, mode=_OUTPUT_MODE)
