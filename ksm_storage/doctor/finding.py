"""What was found out about a file or a key, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..contract.abilities import KeyDescription, PermissionProbe
from ..errors import KsmStorageError, PermissionDeniedError


@dataclass(frozen=True, slots=True)
class SettingFinding:
    """Hold where a setting came from; ``shown`` is its value, or a word that hides it."""

    name: str
    shown: str
    source: str


@dataclass(slots=True)
class KeyFinding:
    """Hold what was found out about a KEK; a step that failed left a problem and no result.

    Attributes:
        uri: The KEK, as it was named.
        plugin: Distribution and version of the plugin that serves it.
        libraries: What the plugin stands on: ``{"botocore": "1.40.0"}``.
        settings: Those that were given, with their sources.
        access: By whom and where the KEK is reached.
        description: State and versions.
        seconds: How long the first answer took, with the start of the service's library.
        probes: Which permissions are there.
        problems: Why the rest is not known, or what stands in the way.
        notes: What could not be asked.
    """

    uri: str
    plugin: str | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[SettingFinding, ...] = ()
    access: Mapping[str, str] = field(default_factory=dict)
    description: KeyDescription | None = None
    seconds: float | None = None
    probes: tuple[PermissionProbe, ...] = ()
    problems: list[KsmStorageError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if files open and are sealed under the KEK, else that of the first problem."""
        if self.problems:
            return self.problems[0].exit_code
        needed = (probe for probe in self.probes if probe.need != "describe")
        if any(probe.granted is False for probe in needed):
            return PermissionDeniedError.exit_code
        return 0


@dataclass(slots=True)
class FileFinding:
    """Hold what was found out about a file.

    Attributes:
        path: As it was given.
        facts: Short labels: mode, revision.
        keys: The KEKs of its recipients.
        problems: What keeps it from being read.
        notes: What is worth knowing, and may be meant.
    """

    path: str
    facts: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    problems: list[KsmStorageError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if the file can be read, else that of the first problem."""
        return self.problems[0].exit_code if self.problems else 0
