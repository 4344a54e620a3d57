"""``ksm-storage profile add``, ``import``, ``use`` and ``delete``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

import click

from ..config.document import ACTIVE_PROFILE, Document
from ..config.recognise import recognise, refuse_empty
from ..errors import SettingsError, StorageError
from ..storage.open_policy import OpenPolicy
from ..storage.profiles import (
    DEFAULT_PROFILE,
    change_document,
    check_profile_name,
    create_document,
    with_active_profile,
    with_new_profile,
    without_profile,
)
from ..storage.reading import MAX_READ_BYTES, read_file, resolved
from .options import key_option, path_argument, setting_option, trusted_key_option
from .output import say
from .protect import default_key

_Settings = Mapping[str, Mapping[str, object]]
_STDIN = "-"


@click.command(short_help="Add a plain configuration as a profile.")
@path_argument
@click.argument("name")
@click.argument("source", metavar="[FILE]", default=_STDIN)
@key_option
@setting_option
def add(path: str, name: str, source: str, keys: tuple[str, ...], settings: _Settings) -> None:
    """Add the plain configuration in FILE, or from standard input, to PATH as the profile NAME.

    To bind a new client device into a profile, use 'init --profile NAME'.
    """
    check_profile_name(name)
    plain = _read_plain(source)
    if not plain.is_single:
        raise SettingsError(
            "this is a keeper.ini with profiles of its own", hint="use 'profile import'"
        )
    config = plain.profiles[plain.chosen(None)]
    trust = OpenPolicy.from_args(keys or None, None, settings)
    _change_or_create(path, trust, lambda document: with_new_profile(document, name, config))
    say(f"added profile {name} to {path}")


@click.command(name="import", short_help="Add all profiles of a keeper.ini.")
@path_argument
@click.argument("source", metavar="[FILE]", default=_STDIN)
@key_option
@setting_option
def import_profiles(path: str, source: str, keys: tuple[str, ...], settings: _Settings) -> None:
    """Add all profiles of the keeper.ini in FILE, or from standard input, to PATH.

    None is added if the name of one is taken. FILE stays as it is: remove it when all is well.
    """
    plain = _read_plain(source)
    incoming = plain
    if plain.is_single:
        incoming = Document({DEFAULT_PROFILE: plain.profiles[plain.chosen(None)]})
    trust = OpenPolicy.from_args(keys or None, None, settings)
    _change_or_create(path, trust, lambda document: _joined(document, incoming))
    for name in incoming.profiles:
        say(f"added profile {name} to {path}")


@click.command()
@path_argument
@click.argument("name")
@trusted_key_option
@setting_option
def use(path: str, name: str, keys: tuple[str, ...], settings: _Settings) -> None:
    """Make NAME the active profile of PATH."""
    trust = OpenPolicy.from_args(keys or None, None, settings)
    change_document(path, trust, lambda document: with_active_profile(document, name))
    say(f"profile {name} of {path} is active")


@click.command()
@path_argument
@click.argument("name")
@trusted_key_option
@setting_option
def delete(path: str, name: str, keys: tuple[str, ...], settings: _Settings) -> None:
    """Remove the profile NAME from PATH. The server still knows the device: revoke it there."""
    trust = OpenPolicy.from_args(keys or None, None, settings)
    left = change_document(path, trust, lambda document: without_profile(document, name))
    say(f"removed profile {name} from {path}")
    if ACTIVE_PROFILE not in left.settings and len(left.profiles) > 1:
        say("note: no profile is active now; choose one with 'profile use'")


def _read_plain(source: str) -> Document:
    if source == _STDIN:
        raw = sys.stdin.buffer.read(MAX_READ_BYTES)
        if not raw.strip():
            raise StorageError(
                "standard input holds no configuration", hint="pipe one in, or name its FILE"
            )
        return _plain(raw, "standard input")
    try:
        return _plain(read_file(resolved(source)).content, repr(source))
    except FileNotFoundError as exc:
        raise SettingsError(f"{source!r} does not exist") from exc


def _plain(raw: bytes, name: str) -> Document:
    document = recognise(raw, name=name).document
    refuse_empty(document, name=name)
    return document


def _joined(document: Document, incoming: Document) -> Document:
    joined = document
    for name, config in incoming.profiles.items():
        joined = with_new_profile(joined, name, config)
    # What a file in use says, its active profile above all, is not changed by an import.
    kept = joined.settings if any(document.profiles.values()) else {}
    return joined._replace(settings={**joined.settings, **incoming.settings, **kept})


def _change_or_create(path: str, trust: OpenPolicy, change: Callable[[Document], Document]) -> None:
    if os.path.lexists(path):
        change_document(path, trust, change)
        return
    if trust.keys is None:
        trust = OpenPolicy.from_args([default_key()], trust.context, trust.arguments)
    create_document(path, trust, change(Document({})))
