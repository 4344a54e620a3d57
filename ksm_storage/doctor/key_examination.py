"""Examine one KEK: each step on its own, so that one thing that is broken hides no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..contract.abilities import KeyDescription
from ..contract.key_uri import KeyUri
from ..errors import KeyStateError, KsmStorageError, PermissionDeniedError
from ..keys.discovery import Plugin, find_plugin
from ..keys.kek import Kek
from ..keys.kek_abilities import describe_access, describe_key, probe_permissions
from ..keys.setting_sources import Arguments, environment_name, gather_settings
from .finding import KeyFinding, SettingFinding
from .libraries import libraries_of


def examine_key(uri: KeyUri, arguments: Arguments | None) -> KeyFinding:
    """Find out what can be found out about a KEK; whatever fails is a part of the finding."""
    found = KeyFinding(str(uri))
    with _problems_of(found):
        plugin = find_plugin(uri.provider)
        found.plugin = f"{plugin.distribution} {plugin.version}"
        found.libraries = libraries_of(plugin.distribution, uri.provider)
        with _problems_of(found):
            found.settings = _settings(uri, plugin, arguments)
            with Kek.open(uri, arguments) as kek:
                _ask(found, kek)
    return found


def _ask(found: KeyFinding, kek: Kek) -> None:
    with _problems_of(found):
        _describe(found, kek)
    with _problems_of(found):
        found.access = describe_access(kek) or {}
    with _problems_of(found):
        probes = probe_permissions(kek)
        if probes is None:
            found.notes.append("the plugin cannot probe permissions; 'check PATH' opens a file")
        found.probes = tuple(probes or ())
    told = {probe.reason for probe in found.probes}
    found.notes = [note for note in found.notes if note not in told]


def _describe(found: KeyFinding, kek: Kek) -> None:
    began = time.perf_counter()
    try:
        found.description = describe_key(kek)
    except PermissionDeniedError as exc:
        # Files open without this permission; whether they do is for the probes to tell.
        found.notes.append(exc.message)
        return
    if found.description is None:
        found.notes.append("the plugin cannot describe its key")
        return
    found.seconds = time.perf_counter() - began
    _refuse_unusable(found.uri, found.description)


@contextmanager
def _problems_of(found: KeyFinding) -> Iterator[None]:
    try:
        yield
    except KsmStorageError as exc:
        # A service that is out of reach says so at each step; once is enough.
        if (type(exc), exc.message) not in [(type(p), p.message) for p in found.problems]:
            found.problems.append(exc)


def _settings(
    uri: KeyUri, plugin: Plugin, arguments: Arguments | None
) -> tuple[SettingFinding, ...]:
    options = plugin.options()
    settings = gather_settings(uri, options, arguments)
    given = [option for option in options if settings.given(option.name)]
    return tuple(
        SettingFinding(
            option.name,
            settings.shown(option.name),
            _source(uri.provider, option.name, settings.source(option.name)),
        )
        for option in given
    )


def _source(provider: str, option: str, source: str) -> str:
    if source == "environment":
        return f"environment {environment_name(provider, option)}"
    return source


def _refuse_unusable(uri: str, key: KeyDescription) -> None:
    if key.state in ("enabled", "unknown"):
        return
    named = f" ({key.state_name})" if key.state_name else ""
    raise KeyStateError(
        f"the key {uri!r} is {key.state}{named}",
        hint="'ksm-storage status PATHS --would-lose KEY' tells which files depend on it",
        key=uri,
    )
