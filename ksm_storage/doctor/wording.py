"""Findings in lines that a person reads, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator

from ..contract.abilities import KeyDescription, PermissionProbe
from ..envelope.codec import format_time
from ..errors import KsmStorageError
from .finding import FileFinding, KeyFinding

_GRANTED = {True: "granted", False: "MISSING", None: "not known"}


def lines_of_file(found: FileFinding) -> Iterator[str]:
    """Yield a line for the file and indented ones for what was found."""
    yield found.path
    for name, value in found.facts.items():
        yield _line(name, value)
    for key in found.keys:
        yield _line("key", key)
    yield from _end(found.problems, found.notes)


def lines_of_key(found: KeyFinding) -> Iterator[str]:
    """Yield a line for the KEK and indented ones for what was found."""
    yield found.uri
    if found.plugin is not None:
        libraries = [f"{name} {version}" for name, version in found.libraries.items()]
        yield _line("plugin", ", ".join([found.plugin, *libraries]))
    for setting in found.settings:
        yield _line("setting", f"{setting.name} = {setting.shown} (from {setting.source})")
    for name, value in found.access.items():
        yield _line(name, value)
    if found.description is not None:
        yield _line("key", ", ".join(_described(found.description)))
    if found.seconds is not None:
        milliseconds = f"{found.seconds * 1000:.0f} ms"
        yield _line("answered in", f"{milliseconds}, the start of its library included")
    for probe in found.probes:
        yield from _probed(probe)
    yield from _end(found.problems, found.notes)


def file_as_dict(found: FileFinding) -> dict[str, object]:
    """Return the finding as plain data."""
    return {
        "path": found.path,
        **found.facts,
        "keys": list(found.keys),
        "problems": [problem.as_dict() for problem in found.problems],
        "notes": found.notes,
    }


def key_as_dict(found: KeyFinding) -> dict[str, object]:
    """Return the finding as plain data."""
    key = found.description
    return {
        "key": found.uri,
        "plugin": found.plugin,
        "libraries": dict(found.libraries),
        "settings": [
            {"name": each.name, "value": each.shown, "source": each.source}
            for each in found.settings
        ],
        "access": dict(found.access),
        "state": key and key.state,
        "current_version": key and key.current_version,
        "seconds": found.seconds,
        "permissions": [
            {
                "permission": probe.permission,
                "need": probe.need,
                "granted": probe.granted,
                "reason": probe.reason,
                "grant": probe.grant,
            }
            for probe in found.probes
        ],
        "problems": [problem.as_dict() for problem in found.problems],
        "notes": found.notes,
    }


def _described(key: KeyDescription) -> Iterator[str]:
    yield key.state
    if key.deletion is not None:
        yield f"until {format_time(key.deletion)}"
    for text in (key.algorithm, key.protection):
        if text is not None:
            yield text
    if key.current_version is not None:
        yield f"version {key.current_version}"
    if key.rotation is not None:
        yield f"rotates {key.rotation}"
    if key.public:
        yield "can be forged with its public key"


def _probed(probe: PermissionProbe) -> Iterator[str]:
    reason = f": {probe.reason}" if probe.reason else ""
    what = f"{probe.permission} to {probe.need}"
    yield _line("permission", f"{what}: {_GRANTED[probe.granted]}{reason}")
    if probe.granted is False and probe.grant is not None:
        yield _line("", "this grants it:")
        for line in probe.grant.splitlines():
            yield f"    {line}"


def _end(problems: list[KsmStorageError], notes: list[str]) -> Iterator[str]:
    for problem in problems:
        yield _line("problem", problem.message)
        if problem.hint:
            yield _line("hint", problem.hint)
    for note in notes:
        yield _line("note", note)


def _line(name: str, value: str) -> str:
    return f"  {name:<12} {value}"
