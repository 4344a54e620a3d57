"""Hand an event to each configured sink; what a sink raises ends here."""

from __future__ import annotations

import datetime as dt
import importlib
import os
import socket
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import pluggy

from ..contract import hookspecs
from ..errors import KsmStorageError, PluginNotFoundError
from ..keys.entry_points import find_entry_points
from .complaint import complain
from .configuration import configured_sinks
from .file_sink import FileSink

GROUP = "ksm_storage.audit_sinks"


def deliver(what: Mapping[str, object]) -> None:
    """Complete an event with when and who, and hand it to each sink; never raises."""
    try:
        names = configured_sinks()
    except KsmStorageError as exc:
        complain(exc.message)
        return
    if not names.file and not names.plugins:
        return
    event = MappingProxyType(_completed(what))
    if names.file:
        _tell("file", names.file, event)
    for name in names.plugins:
        _tell("plugin", name, event)


def _tell(kind: str, name: str, event: Mapping[str, object]) -> None:
    try:
        _sink(kind, name).hook.audit_event(event=event)
    except KsmStorageError as exc:
        complain(exc.message)
    # A sink must not stop what it is told of, whatever it raises; its text may hold anything.
    except (Exception, SystemExit) as exc:  # noqa: BLE001
        complain(f"the audit sink {name!r} raised {type(exc).__name__}")


@lru_cache(maxsize=16)
def _sink(kind: str, name: str) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(FileSink(name) if kind == "file" else _plugin(name))
    return manager


def _plugin(name: str) -> object:
    for entry in find_entry_points(GROUP):
        if entry.name == name:
            return importlib.import_module(entry.module)
    raise PluginNotFoundError(f"no installed plugin offers the audit sink {name!r}")


def _completed(what: Mapping[str, object]) -> dict[str, object]:
    now = dt.datetime.now(dt.UTC)
    return {
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "host": socket.gethostname(),
        "user": os.getuid() if hasattr(os, "getuid") else None,
        "process": os.getpid(),
        **{name: value for name, value in what.items() if value is not None and value != []},
    }
