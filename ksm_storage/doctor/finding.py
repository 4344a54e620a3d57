"""What was found about a file or a KEK, as data and in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..contract.abilities import KeyDescription, Need, PermissionProbe
from ..envelope.codec import format_time
from ..errors import KsmStorageError, PermissionDeniedError
from ..keys.trust_rules import TrustRule


@dataclass(frozen=True, slots=True)
class SettingFinding:
    """Hold where a setting came from; ``shown`` is its value, or a placeholder for a secret."""

    name: str
    shown: str
    source: str


@dataclass(slots=True)
class KeyFinding:
    """Hold what was found about a KEK; a step that failed leaves a problem and no result.

    Attributes:
        uri: The KEK, as it was named.
        plugin: Distribution and version of its plugin.
        libraries: The plugin's dependencies: ``{"botocore": "1.40.0"}``.
        settings: The settings that were given, with their sources.
        access: The identity and the address used to reach the KEK.
        description: State and versions.
        seconds: How long the first answer took, including loading the vendor's library.
        probes: Which permissions are granted.
        purpose: What the KEK must be good for; a permission for anything else may be missing.
        problems: Errors that prevent use of the KEK.
        notes: What could not be determined.
    """

    uri: str
    plugin: str | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[SettingFinding, ...] = ()
    access: Mapping[str, str] = field(default_factory=dict)
    description: KeyDescription | None = None
    seconds: float | None = None
    probes: tuple[PermissionProbe, ...] = ()
    purpose: Need = "open"
    problems: list[KsmStorageError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if the KEK serves the purpose, otherwise that of the first problem."""
        if self.problems:
            return self.problems[0].exit_code
        if any(probe.granted is False and self.needs(probe) for probe in self.probes):
            return PermissionDeniedError.exit_code
        return 0

    def needs(self, probe: PermissionProbe) -> bool:
        """Tell whether the purpose needs this permission."""
        return probe.need in _NEEDED[self.purpose]


@dataclass(slots=True)
class FileFinding:
    """Hold what was found about a file.

    Attributes:
        path: As it was given.
        facts: Short labels: mode, revision, what opened it.
        keys: The KEKs of its recipients.
        rules: The trust rules that apply to it.
        cache: For which of its keys the data key is kept for the next starts, and how long.
        problems: Errors that prevent reading or opening it.
        notes: What is worth knowing and may be intended.
    """

    path: str
    facts: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    rules: tuple[TrustRule, ...] = ()
    cache: tuple[str, ...] = ()
    problems: list[KsmStorageError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if nothing is wrong with the file, otherwise that of the first problem."""
        return self.problems[0].exit_code if self.problems else 0

    def note_opening(self, result: str | KsmStorageError) -> None:
        """Note the key that opened the file, or why none did."""
        if isinstance(result, str):
            self.facts["opened by"] = result
        else:
            self.problems.append(result)


# Whoever seals proves that each key unwraps. Only a device key has a probe to sign, and it is of
# no use without.
_NEEDED: Mapping[Need, tuple[Need, ...]] = {
    "open": ("open", "sign"),
    "seal": ("open", "seal", "sign"),
    "sign": ("sign",),
    "describe": ("describe",),
}
_GRANTED = {True: "granted", False: "MISSING", None: "unknown"}


def lines_of_file(found: FileFinding) -> Iterator[str]:
    """Yield a line for the file and indented lines for the findings."""
    yield found.path
    for name, value in found.facts.items():
        yield _line(name, value)
    for key in found.keys:
        yield _line("key", key)
    for rule in found.rules:
        for name, value in rule.demands():
            yield _line("rule", f"{name} = {value} (from {rule.source})")
    for line in found.cache:
        yield _line("cache", line)
    yield from _end(found.problems, found.notes)


def lines_of_key(found: KeyFinding) -> Iterator[str]:
    """Yield a line for the KEK and indented lines for the findings."""
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
        yield _line("answered in", f"{milliseconds}, including loading its library")
    for probe in found.probes:
        yield from _probed(probe, found)
    yield from _end(found.problems, found.notes)


def file_as_dict(found: FileFinding) -> dict[str, object]:
    """Return the finding as plain data."""
    return {
        "path": found.path,
        **{name.replace(" ", "_"): value for name, value in found.facts.items()},
        "keys": list(found.keys),
        "rules": [{"source": rule.source, **dict(rule.demands())} for rule in found.rules],
        "cache": list(found.cache),
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
                "needed": found.needs(probe),
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
    yield key.shown_state
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
        yield "forgeable with its public key"


def _probed(probe: PermissionProbe, found: KeyFinding) -> Iterator[str]:
    reason = f": {probe.reason}" if probe.reason else ""
    what = f"{probe.permission} to {probe.need}"
    if probe.granted is False and not found.needs(probe):
        yield _line("permission", f"{what}: missing, and not needed to {found.purpose}")
        return
    yield _line("permission", f"{what}: {_GRANTED[probe.granted]}{reason}")
    if probe.granted is False and probe.grant is not None:
        yield _line("", "grant it with:")
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
