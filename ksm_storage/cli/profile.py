"""``ksm-storage profile``: several client devices in one sealed file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import click

from ..config.document import ACTIVE_PROFILE, UNNAMED, Document
from ..config.fields import is_secret
from ..config.recognise import recognise, refuse_unusable
from ..errors import KsmStorageError, SettingsError, StorageError
from ..files.reading import MAX_READ_BYTES, read_file, resolved
from ..storage.open_policy import OpenPolicy
from ..storage.profiles import (
    DEFAULT_PROFILE,
    change_document,
    check_profile_name,
    create_document,
    read_document,
    require_profile,
    with_active_profile,
    with_new_profile,
    without_profile,
)
from .commands import command, group
from .export import write_plain
from .options import (
    PATH,
    Settings,
    json_option,
    key_option,
    path_argument,
    setting_option,
    timeout_option,
    trust_option,
)
from .output import echo_err, echo_json, echo_table
from .protect import default_key, existing_policy
from .sealed_file import SealedFile

_STDIN = "-"


@group()
def profile() -> None:
    """Keep several client devices in one sealed file, each under a name.

    Names and the active profile follow the official command line: --profile, else
    $KSM_CLI_PROFILE, else the active one.
    """


@command(short_help="Add a plain configuration as a profile.")
@path_argument
@click.argument("name")
@click.argument("source", metavar="[FILE]", default=_STDIN)
@key_option
@trust_option
@setting_option
@timeout_option
@json_option
def add(
    path: str,
    name: str,
    source: str,
    keys: tuple[str, ...],
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Add the plain configuration in FILE, or from standard input, to PATH as the profile NAME.

    PATH is created under --key if it does not exist. To bind a new client device into a profile,
    use 'init --profile NAME'.
    """
    check_profile_name(name)
    plain = _read_plain(source)
    if not plain.is_single:
        raise SettingsError(
            "this is a keeper.ini with several profiles", hint="use 'ksm-storage profile import'"
        )
    config = plain.profiles[plain.chosen(None)]
    _change_or_create(
        path,
        keys,
        _OpenOptions(trust, settings, timeout),
        lambda document: with_new_profile(document, name, config),
    )
    _report_added(path, [name], as_json=as_json)


@command(name="import", short_help="Add all profiles of a keeper.ini.")
@path_argument
@click.argument("source", metavar="[FILE]", default=_STDIN)
@key_option
@trust_option
@setting_option
@timeout_option
@json_option
def import_profiles(
    path: str,
    source: str,
    keys: tuple[str, ...],
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Add all profiles of the keeper.ini in FILE, or from standard input, to PATH.

    PATH is created under --key if it does not exist. Nothing is added if any name is taken. FILE
    is left unchanged: delete it once PATH works.
    """
    plain = _read_plain(source)
    incoming = plain
    if plain.is_single:
        incoming = Document({DEFAULT_PROFILE: plain.profiles[plain.chosen(None)]})
    options = _OpenOptions(trust, settings, timeout)
    _change_or_create(path, keys, options, lambda document: _joined(document, incoming))
    _report_added(path, list(incoming.profiles), as_json=as_json)


@command()
@path_argument
@click.argument("name")
@trust_option
@setting_option
@timeout_option
@json_option
def use(
    path: str,
    name: str,
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Make NAME the active profile of PATH."""
    options = _OpenOptions(trust, settings, timeout)
    options.change(path, lambda document: with_active_profile(document, name))
    if as_json:
        echo_json({"path": path, "status": "done", "active": name})
        return
    echo_err(f"profile {name} of {path} is now active")


@command()
@path_argument
@click.argument("name")
@trust_option
@setting_option
@timeout_option
@json_option
def delete(
    path: str,
    name: str,
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Remove the profile NAME from PATH.

    The client device stays valid on the server until it is revoked there.
    """
    options = _OpenOptions(trust, settings, timeout)
    left = options.change(path, lambda document: without_profile(document, name))
    if as_json:
        active = left.settings.get(ACTIVE_PROFILE)
        echo_json({"path": path, "status": "done", "removed": name, "active": active})
        return
    echo_err(f"removed profile {name} from {path}")
    if ACTIVE_PROFILE not in left.settings and len(left.profiles) > 1:
        echo_err("note: no profile is active now; choose one with 'ksm-storage profile use'")


@command(name="list")
@path_argument
@trust_option
@setting_option
@timeout_option
@json_option
def list_profiles(
    path: str,
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """List the profiles in PATH; a star marks the active one."""
    document = _OpenOptions(trust, settings, timeout).read(path)
    active = document.settings.get(ACTIVE_PROFILE)
    rows = [
        {
            "profile": name,
            "active": name == active,
            "bound": "appKey" in config,
            "hostname": config.get("hostname"),
        }
        for name, config in sorted(document.profiles.items())
        if name != UNNAMED
    ]
    if as_json:
        echo_json(rows)
        return
    echo_table(["ACTIVE", "PROFILE", "STATE", "HOSTNAME"], [_as_row(row) for row in rows])


@command(short_help="Show the values of a profile.")
@path_argument
@click.argument("name", required=False)
@click.option("--reveal", is_flag=True, help="Also show secret values.")
@trust_option
@setting_option
@timeout_option
@json_option
def show(
    path: str,
    name: str | None,
    reveal: bool,
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Show the values of the profile NAME in PATH, or of the active one."""
    document = _OpenOptions(trust, settings, timeout).read(path)
    if name is not None:
        require_profile(document, name)
    chosen = document.chosen(name)
    config = {
        field: None if is_secret(field) and not reveal else value
        for field, value in sorted(document.profiles[chosen].items())
    }
    if as_json:
        echo_json({"profile": chosen or None, "config": config})
        return
    shown = [
        [field, "(hidden; use --reveal)" if value is None else value]
        for field, value in config.items()
    ]
    echo_table(["FIELD", "VALUE"], shown)


@command(name="export", short_help="Write profiles in plain text as keeper.ini.")
@path_argument
@click.argument("name", required=False)
@click.option(
    "--output", type=PATH, metavar="FILE", help="Write to this new file, readable only by you."
)
@click.option("--reveal", is_flag=True, help="Write to stdout.")
@trust_option
@setting_option
@timeout_option
@json_option
def export_profiles(
    path: str,
    name: str | None,
    output: str | None,
    reveal: bool,
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Write the profile NAME in PATH, or all of them, in plain text as keeper.ini."""
    file = SealedFile(path, name, trust, settings, timeout, None)
    write_plain(file, form="ini", output=output, reveal=reveal, as_json=as_json)


def _report_added(path: str, names: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        echo_json({"path": path, "status": "done", "added": list(names)})
        return
    for name in names:
        echo_err(f"added profile {name} to {path}")


def _read_plain(source: str) -> Document:
    if source == _STDIN:
        raw = sys.stdin.buffer.read(MAX_READ_BYTES)
        if not raw.strip():
            raise StorageError(
                "standard input is empty", hint="pipe in a configuration, or pass its FILE"
            )
        return _plain(raw, "standard input")
    try:
        return _plain(read_file(resolved(source)).content, repr(source))
    except FileNotFoundError as exc:
        raise SettingsError(
            f"{source!r} does not exist", hint="name a plain configuration, or pipe it in"
        ) from exc
    except KsmStorageError as exc:
        # It is this file that is wrong, and not PATH.
        exc.path = exc.path or source
        raise


def _plain(raw: bytes, name: str) -> Document:
    document = recognise(raw, name=name).document
    refuse_unusable(document, name=name)
    return document


def _joined(document: Document, incoming: Document) -> Document:
    joined = document
    for name, config in incoming.profiles.items():
        joined = with_new_profile(joined, name, config)
    # An import does not change the settings of a file in use, its active profile above all.
    kept = joined.settings if any(document.profiles.values()) else {}
    return joined._replace(settings={**joined.settings, **incoming.settings, **kept})


class _OpenOptions(NamedTuple):
    """Hold what was given about opening PATH."""

    trust: Sequence[str]
    settings: Settings
    timeout: float | None

    def read(self, path: str) -> Document:
        return read_document(path, self._policy())

    def change(self, path: str, change: Callable[[Document], Document]) -> Document:
        return change_document(path, self._policy(), change)

    def _policy(self) -> OpenPolicy:
        policy = OpenPolicy.from_args(self.trust or None, None, self.settings)
        return policy.with_timeout(self.timeout, None)


def _change_or_create(
    path: str,
    keys: Sequence[str],
    given: _OpenOptions,
    change: Callable[[Document], Document],
) -> None:
    if os.path.lexists(path):
        policy = existing_policy(path, keys, given.trust, given.settings)
        change_document(path, policy.with_timeout(given.timeout, None), change)
        return
    policy = OpenPolicy.from_args(keys or [default_key()], None, given.settings)
    create_document(path, policy, change(Document({})))


def _as_row(row: Mapping[str, object]) -> list[str]:
    state = "bound" if row["bound"] else "not bound"
    return ["*" if row["active"] else "", str(row["profile"]), state, str(row["hostname"] or "-")]


for _command in (add, delete, export_profiles, import_profiles, list_profiles, show, use):
    profile.add_command(_command)
