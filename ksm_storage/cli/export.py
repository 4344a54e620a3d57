"""``ksm-storage export``: write the configuration in plain text."""

from __future__ import annotations

import base64
import os
import re
import shlex
from collections.abc import Callable, Mapping

import click

from ..audit.events import emit
from ..config.document import Document, format_base64, format_json
from ..config.ini_form import format_ini
from ..envelope.codec import decode
from ..errors import StorageError
from ..files.lock import locked
from ..files.reading import not_found, resolved
from ..files.replacement import create_file
from ..storage.snapshot import document_of, with_envelope
from .commands import command
from .options import PATH, json_option
from .output import echo, echo_err, echo_json
from .sealed_file import SealedFile, refuse_key_in_service, sealed_file_options

Config = Mapping[str, str]

VARIABLE = "KSM_CONFIG"
SECRET_NAME = "ksm-config"  # noqa: S105  # the name of a Kubernetes object

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OBJECT_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
_OUTPUT_MODE = 0o600


def _as_env(config: Config, name: str | None) -> bytes:
    variable = name or VARIABLE
    if not _VARIABLE_NAME.fullmatch(variable):
        raise click.BadParameter(
            f"{variable!r} is not a valid variable name", param_hint="'--name'"
        )
    # In base64, which shells, systemd and container engines all read without quotes.
    return f"{variable}={shlex.quote(_base64(config))}".encode()


def _as_k8s_secret(config: Config, name: str | None) -> bytes:
    given = name or SECRET_NAME
    if not _OBJECT_NAME.fullmatch(given):
        raise click.BadParameter(f"{given!r} is not a valid Secret name", param_hint="'--name'")
    value = base64.b64encode(_base64(config).encode("ascii")).decode("ascii")
    # Quoted: YAML would read the name 1.5 as a number.
    lines = (
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        f'  name: "{given}"',
        "type: Opaque",
        "data:",
        f"  {VARIABLE}: {value}",
    )
    return "\n".join(lines).encode("ascii")


FORMS: Mapping[str, Callable[[Config, str | None], bytes]] = {
    "json": lambda config, _name: format_json(config),
    "base64": lambda config, _name: format_base64(config),
    "env": _as_env,
    "k8s-secret": _as_k8s_secret,
}
_NAMED_FORMS = frozenset({"env", "k8s-secret"})


@command()
@sealed_file_options
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMS, "ini"]),
    default="json",
    show_default=True,
    help="The output format.",
)
@click.option(
    "--name", metavar="NAME", help="The variable name for env, the Secret name for k8s-secret."
)
@click.option(
    "--output", type=PATH, metavar="FILE", help="Write to this new file, readable only by you."
)
@click.option("--reveal", is_flag=True, help="Write to stdout.")
@json_option
def export(
    file: SealedFile,
    form: str,
    name: str | None,
    output: str | None,
    reveal: bool,
    as_json: bool,
) -> None:
    """Write the configuration in PATH in plain text, to a new file or with --reveal to stdout."""
    if name is not None and form not in _NAMED_FORMS:
        raise click.UsageError("--name requires --format env or k8s-secret")
    write_plain(
        file,
        form=form,
        output=output,
        reveal=reveal,
        as_json=as_json,
        name=name,
    )


def write_plain(
    file: SealedFile,
    *,
    form: str,
    output: str | None,
    reveal: bool,
    as_json: bool,
    name: str | None = None,
) -> None:
    """Write the configuration of a sealed file in plain text to where the user wants it.

    Raises:
        click.UsageError: The user did not say where.
        SettingsError: The private key is in a key service, so that no program could use it.
        StorageError: The output exists, or cannot be written.
    """
    if (output is None) == (not reveal):
        raise click.UsageError("give either --output FILE, or --reveal to write to stdout")
    document = _opened(file)
    for config in document.profiles.values():
        refuse_key_in_service(config)
    plain = _formatted(document, form, file.profile, name).rstrip(b"\n").decode("utf-8")
    emit("exported", path=file.path, form=form)
    done: dict[str, object] = {"path": file.path, "form": form, "status": "done"}
    if output is None and as_json:
        echo_json({**done, "content": plain})
        return
    if output is None:
        echo(plain)
        return
    write_new_file(output, f"{plain}\n".encode())
    if as_json:
        echo_json({**done, "output": output})
        return
    echo_err(f"wrote the plain configuration to {output}; delete it when no longer needed")


def write_new_file(output: str, content: bytes) -> None:
    """Write a file that does not exist yet, readable only by its owner.

    Raises:
        StorageError: It exists, or cannot be written.
    """
    real = resolved(output)
    with locked(real):
        if os.path.lexists(real):
            raise StorageError(f"{output!r} already exists", hint="choose a new file name")
        create_file(real, content, mode=_OUTPUT_MODE)


def _opened(file: SealedFile) -> Document:
    def opened(content: bytes) -> Document:
        return document_of(file.policy().open(decode(content), path=file.path).payload)

    if file.piped is not None:
        return opened(file.piped)
    try:
        return with_envelope(resolved(file.path), lambda found: opened(found.content))
    except FileNotFoundError as exc:
        raise not_found(file.path) from exc


def _formatted(document: Document, form: str, profile: str | None, name: str | None) -> bytes:
    # The INI form holds all profiles, so none of them need be chosen.
    if form == "ini" and profile is None:
        return format_ini(document)
    chosen = document.chosen(profile)
    config = document.profiles[chosen]
    if form == "ini":
        return format_ini(Document({chosen: config}))
    return FORMS[form](config, name)


def _base64(config: Config) -> str:
    return format_base64(config).decode("ascii").strip()
