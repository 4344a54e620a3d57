"""Find the entry points that the installed distributions offer; nothing is imported.

``importlib.metadata.entry_points()`` opens and parses the metadata of each distribution: in an
environment of a hundred that costs more than all the rest of a cold start. Here a folder of
``sys.path`` is listed once, the ``entry_points.txt`` of each distribution is read as bytes, and
only those that contain the group's name are parsed. What is not a folder (a zip file, an egg,
another finder) is left to ``importlib.metadata``, so that the result is the same.

A process remembers what it found until a folder of the path changes, as Python's own import system
does.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "ksm_storage.providers"

_Offer = tuple[str, str, str]  # distribution, version, the text of its entry_points.txt
_Identity = tuple[int, int, int]  # device, inode, time of the last change
_PathState = tuple[_Identity | None, ...]

# Modification times advance in ticks (up to 10 ms on Linux): a folder that changed within the
# last one may change again and look the same.
_TICK_NANOSECONDS = 100_000_000


class EntryPoint(NamedTuple):
    """Hold one entry point: its name, the module it names and who offers it."""

    name: str
    module: str
    distribution: str
    version: str


def find_entry_points(group: str = GROUP) -> list[EntryPoint]:
    """Return the entry points of the group in the order of ``sys.path``; imports none of them.

    As for an import, the first distribution of a name on the path hides a later one of that name.
    The folders are listed again only once one of them has changed.
    """
    state = _path_state()
    known = _found.get(group)
    if known is not None and state is not None and known[0] == state:
        return list(known[1])
    found: list[EntryPoint] = []
    seen: set[str] = set()
    for distribution, version, text in _offers(group):
        if distribution not in seen:
            seen.add(distribution)
            found += _parsed(text, group, distribution, version)
    newest = max((identity[2] for identity in state or () if identity is not None), default=0)
    if state is not None and time.time_ns() - newest > _TICK_NANOSECONDS:
        _found[group] = state, tuple(found)
    return found


def _path_state() -> _PathState | None:
    """Return what tells whether a search would find the same again; None if nothing does."""
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_distributions"):
            return None
    state: list[_Identity | None] = []
    for entry in sys.path:
        if not isinstance(entry, str):
            continue
        try:
            status = os.stat(entry or ".")
        except (OSError, ValueError):
            state.append(None)
            continue
        if entry.endswith(".egg") or not stat.S_ISDIR(status.st_mode):
            return None
        state.append((status.st_dev, status.st_ino, status.st_mtime_ns))
    return tuple(state)


def _offers(group: str) -> Iterator[_Offer]:
    for finder in sys.meta_path:
        if finder is PathFinder:
            for entry in dict.fromkeys(item for item in sys.path if isinstance(item, str)):
                yield from _at(entry, group)
        # The backport's finder searches the same path with the same result. Import hooks of
        # editable installs find modules, not distributions: most other finders end here.
        elif (find := getattr(finder, "find_distributions", None)) is not None and type(
            finder
        ).__module__.partition(".")[0] != "importlib_metadata":
            from importlib.metadata import DistributionFinder

            yield from _described(find(DistributionFinder.Context()))


def _at(entry: str, group: str) -> Iterable[_Offer]:
    try:
        status = os.stat(entry or ".")
    except (OSError, ValueError):  # ValueError: the path holds a NUL
        return ()
    if entry.endswith(".egg") or not stat.S_ISDIR(status.st_mode):
        from importlib.metadata import distributions

        return _described(distributions(path=[entry]))
    return _in_folder(entry or ".", group)


def _described(distributions: Iterable[Distribution]) -> Iterator[_Offer]:
    for distribution in distributions:
        text = distribution.read_text("entry_points.txt") or ""
        yield _normalised(distribution.name or "unknown"), distribution.version or "", text


def _in_folder(folder: str, group: str) -> Iterator[_Offer]:
    try:
        with os.scandir(folder) as listing:
            names = [item.name for item in listing]
    except OSError:
        return
    for name in names:
        # pip renames what it is about to replace to "~name"; a killed pip leaves it behind.
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith("~"):
            distribution, _, version = name.rpartition(".")[0].partition("-")
            text = _entry_points_text(os.path.join(folder, name), group)
            # An .egg-info folder may carry the Python version behind the distribution's own.
            yield _normalised(distribution), version.partition("-py")[0], text


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


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


# What was found by group, with the state of the whole path. It belongs to the process, as
# sys.modules does; threads that fill it at once find the same.
_found: dict[str, tuple[_PathState, tuple[EntryPoint, ...]]] = {}
