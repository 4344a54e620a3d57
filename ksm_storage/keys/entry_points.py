"""Find the entry points of one group without parsing every installed distribution.

``importlib.metadata.entry_points()`` opens and parses the metadata of each distribution: in an
environment of a hundred that costs more than all the rest of a cold start. Here a folder of
``sys.path`` is listed once, the ``entry_points.txt`` of each distribution is read as bytes, and
only those in which the group's name occurs are parsed. What is no folder (a zip file, an egg,
another finder) is left to ``importlib.metadata``, so that the result is the same.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "ksm_storage.providers"

_Offer = tuple[str, str, str]  # distribution, version, the text of its entry_points.txt


class EntryPoint(NamedTuple):
    """Hold one entry point: its name, the module it names and who offers it."""

    name: str
    module: str
    distribution: str
    version: str


def find_entry_points(group: str = GROUP) -> list[EntryPoint]:
    """Return the entry points of the group in the order of ``sys.path``; imports none of them.

    As for an import, the first distribution of a name on the path hides a later one of that name.
    """
    found: list[EntryPoint] = []
    seen: set[str] = set()
    for distribution, version, text in _offers(group):
        name = re.sub(r"[-_.]+", "-", distribution).lower()
        if name not in seen:
            seen.add(name)
            found += _parsed(text, group, name, version)
    return found


def _offers(group: str) -> Iterator[_Offer]:
    for finder in sys.meta_path:
        if finder is PathFinder:
            yield from _on_path(group)
        # The backport's finder searches the same path with the same result.
        elif type(finder).__module__.partition(".")[0] != "importlib_metadata":
            yield from _of_finder(finder)


def _on_path(group: str) -> Iterator[_Offer]:
    for entry in dict.fromkeys(item for item in sys.path if isinstance(item, str)):
        if entry.endswith(".egg") or os.path.isfile(entry):
            from importlib.metadata import distributions

            yield from _described(distributions(path=[entry]))
        else:
            yield from _in_folder(entry or ".", group)


def _of_finder(finder: object) -> Iterator[_Offer]:
    # Import hooks of editable installs find modules, not distributions: most finders end here.
    find = getattr(finder, "find_distributions", None)
    if find is not None:
        from importlib.metadata import DistributionFinder

        yield from _described(find(DistributionFinder.Context()))


def _described(distributions: Iterable[Distribution]) -> Iterator[_Offer]:
    for distribution in distributions:
        text = distribution.read_text("entry_points.txt") or ""
        yield distribution.name or "unknown", distribution.version or "", text


def _in_folder(folder: str, group: str) -> Iterator[_Offer]:
    try:
        with os.scandir(folder) as listing:
            names = [item.name for item in listing]
    except (OSError, ValueError):  # ValueError: the path holds a NUL
        return
    for name in names:
        # pip renames what it is about to replace to "~name"; a killed pip leaves it behind.
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith("~"):
            distribution, _, version = name.rpartition(".")[0].partition("-")
            text = _entry_points_text(os.path.join(folder, name), group)
            # An .egg-info folder may carry the Python version behind the distribution's own.
            yield distribution, version.partition("-py")[0], text


def _entry_points_text(metadata: str, group: str) -> str:
    try:
        with open(os.path.join(metadata, "entry_points.txt"), "rb") as file:
            raw = file.read()
    except OSError:
        return ""
    return raw.decode("utf-8", errors="replace") if group.encode() in raw else ""


def _parsed(text: str, group: str, distribution: str, version: str) -> Iterator[EntryPoint]:
    # The grammar is importlib.metadata's; configparser would cost more than the whole search.
    section = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == group and not line.startswith("#"):
            name, separator, value = line.partition("=")
            if separator:
                module = value.partition("[")[0].strip()
                yield EntryPoint(name.strip(), module, distribution, version)
