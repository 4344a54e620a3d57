"""Examine files and KEKs, each step separately, so that one fault does not hide another."""

from __future__ import annotations

import os
import re
import shlex
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires, version

from ..contract.abilities import KeyDescription, Need
from ..contract.key_wrapper import KeyUri
from ..envelope.codec import decode, parse_time
from ..errors import AuthenticationError, KeyStateError, KsmStorageError, PermissionDeniedError
from ..files.reading import FileContent, not_found, resolved
from ..keys.discovery import Plugin, find_plugin
from ..keys.kek import Kek
from ..keys.kek_abilities import describe_access, describe_key, probe_permissions
from ..keys.setting_sources import Arguments, environment_name, gather_settings
from ..storage.open_policy import OpenPolicy
from ..storage.snapshot import document_of, read_envelope, with_envelope
from .finding import FileFinding, KeyFinding, SettingFinding
from .remedies import remedy
from .surroundings import clock_notes, label_of, lock_notes, version_notes


def examine_file(path: str) -> FileFinding:
    """Return all that can be found out about a file, without changing anything."""
    found = FileFinding(path)
    try:
        real = resolved(path)
        content = read_envelope(real)
        found.facts["mode"] = f"{stat.S_IMODE(content.status.st_mode):04o}"
        envelope = decode(content.content)
        header = envelope.header
        found.facts["revision"] = str(header.revision)
        found.keys = tuple(str(recipient.key) for recipient in header.recipients)
    except FileNotFoundError:
        found.problems.append(not_found(path))
        return found
    except KsmStorageError as exc:
        found.problems.append(exc)
        return found
    found.notes += [
        *_obstacles(real, content.status),
        *clock_notes(parse_time(header.sealed)),
        *lock_notes(real),
    ]
    if (label := label_of(real)) is not None:
        found.facts["label"] = label
    with _problems_of(found):
        policy = OpenPolicy.from_args(None, None, None)
        found.rules = policy.rules_for(path)
        policy.check(envelope, path=path)
        cache = policy.with_cache().cache
        if cache is not None:
            cache = cache.within(found.rules)
            found.cache = tuple(cache.shown(recipient.key for recipient in header.recipients))
        if found.cache and cache is not None and (reason := cache.problem()):
            found.notes.append(f"{reason}; each start calls the key service")
    return found


def open_examined(
    path: str, arguments: Arguments | None, usable: Collection[str]
) -> str | KsmStorageError:
    """Open a file by its usable keys; return the key that opened it, or why it does not open.

    The others are not asked again: a token that refused a PIN locks after a few wrong ones.
    """
    # What the memory says is among the findings about the file; nothing is recorded here.
    policy = OpenPolicy.from_args(None, None, arguments).without_memory()

    def opened(content: FileContent) -> str:
        envelope = decode(content.content)
        named = (recipient.key for recipient in envelope.header.recipients)
        keys = tuple(key for key in named if str(key) in usable)
        found = policy._replace(keys=keys).open(envelope, path=path)
        document_of(found.payload)
        return str(found.recipient.key)

    try:
        return with_envelope(resolved(path), opened)
    except FileNotFoundError:
        return not_found(path)
    except KsmStorageError as exc:
        return exc


def _obstacles(real: str, status: os.stat_result) -> Iterator[str]:
    mode = stat.S_IMODE(status.st_mode)
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"accessible to other users (mode {mode:04o}); still encrypted"
    effective = os.access in os.supports_effective_ids
    if not os.access(real, os.W_OK, effective_ids=effective):
        yield "read-only here: it can be opened, but not saved"
    elif not os.access(os.path.dirname(real), os.W_OK | os.X_OK, effective_ids=effective):
        yield "its folder is read-only here: saves are made in place"


def examine_key(uri: KeyUri, arguments: Arguments | None, *, purpose: Need = "open") -> KeyFinding:
    """Return all that can be found out about a KEK; failures are part of the finding."""
    found = KeyFinding(str(uri), purpose=purpose)
    with _problems_of(found):
        plugin = find_plugin(uri.provider)
        found.plugin = f"{plugin.distribution} {plugin.version}"
        found.libraries = libraries_of(plugin.distribution, uri.provider)
        found.notes += version_notes(uri.provider)
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
            found.notes.append(
                "the plugin cannot probe permissions; 'ksm-storage check PATH' opens a file"
            )
        found.probes = tuple(probes or ())
        if probes and found.purpose == "sign":
            _refuse_unsigning(found)
    reported = {probe.reason for probe in found.probes}
    found.notes = [note for note in found.notes if note not in reported]


def _refuse_unsigning(found: KeyFinding) -> None:
    if not any(probe.need == "sign" for probe in found.probes):
        raise KeyStateError(
            f"the key {found.uri!r} wraps data keys and cannot sign for a device",
            hint="a device key is a P-256 key of its own: ksm-storage init PATH --device-key URI",
            key=found.uri,
        )


def _describe(found: KeyFinding, kek: Kek) -> None:
    began = time.perf_counter()
    try:
        found.description = describe_key(kek)
    except PermissionDeniedError as exc:
        if found.purpose == "describe":
            raise
        # Files open without this permission; the probes tell whether they do.
        found.notes.append(exc.message)
        return
    if found.description is None:
        found.notes.append("the plugin cannot describe its keys")
        return
    found.seconds = time.perf_counter() - began
    _refuse_unusable(found.uri, found.description)


@contextmanager
def _problems_of(found: FileFinding | KeyFinding) -> Iterator[None]:
    try:
        yield
    except KsmStorageError as exc:
        # What fails every step is reported once: an unreachable service, or a refused login, which
        # the next step words in another way (a PIN that was rejected is not sent again).
        kinds = [type(problem) for problem in found.problems]
        if type(exc) is AuthenticationError and AuthenticationError in kinds:
            return
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
    depend = f"ksm-storage status PATHS --would-lose {shlex.quote(uri)}"
    command = remedy(KeyUri.parse(uri), key.state)
    raise KeyStateError(
        f"the key {uri!r} is {key.state}{named}",
        hint=f"run: {command}" if command else f"to list the files that depend on it: {depend}",
        key=uri,
    )


# The core has more dependencies than its providers use: these are the ones that matter.
_OF_THE_CORE = {"os-keyring": ("keyring",)}
_CORE = "ksm-storage"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def libraries_of(distribution: str, provider: str) -> Mapping[str, str]:
    """Return the libraries that a plugin's distribution requires, with installed versions."""
    if distribution == _CORE:
        names: list[str] = [*_OF_THE_CORE.get(provider, ()), "cryptography"]
    else:
        names = _required(distribution)
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _required(distribution: str) -> list[str]:
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return []
    names = [match[0] for line in lines if "extra ==" not in line and (match := _NAME.match(line))]
    return [name for name in names if name.lower() != _CORE]
