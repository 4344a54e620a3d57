"""Report what happens to sealed files to the configured audit sinks; almost free without any.

Every process that opens a file loads this module, so whatever only a sink needs is imported
inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from ..errors import KsmStorageError, PluginNotFoundError, SettingsError
from ..keys.setting_sources import file_table, settings_file_expected

if TYPE_CHECKING:
    import pluggy

FILE_VARIABLE = "KSM_STORAGE_AUDIT_FILE"
SINKS_VARIABLE = "KSM_STORAGE_AUDIT_SINKS"
TABLE = "audit"
GROUP = "ksm_storage.audit_sinks"

Kind = Literal[
    "opened",
    "refused",
    "saved",
    "protected",
    "rewrapped",
    "rekeyed",
    "exported",
    "failed_over",
    "relayed",
]

_OPTIONS = {"file", "sinks"}

# State that changes, because "once" is a fact about the process. By process id, so that a forked
# child, which may log elsewhere, warns too.
_warned: set[int] = set()


class EnvelopeHeader(Protocol):
    """Name what an event takes from an envelope's header."""

    @property
    def envelope_id(self) -> bytes:
        """The envelope's id."""

    @property
    def revision(self) -> int:
        """How many times it was saved."""


def emit(
    kind: Kind,
    *,
    path: str | os.PathLike[str] | None = None,
    header: EnvelopeHeader | None = None,
    keys: Sequence[object] = (),
    instead_of: Sequence[object] = (),
    error: KsmStorageError | None = None,
    form: str | None = None,
    client: str | None = None,
    operation: str | None = None,
    records: Sequence[str] = (),
    code: str | None = None,
    cached: bool = False,
) -> None:
    """Report an event to each configured sink; never raises.

    No argument can carry a value of a configuration or a DEK: an event holds names, numbers and
    times only.

    Args:
        kind: What happened.
        path: The file, if there is one.
        header: The envelope's header, as it is now.
        keys: The keys concerned: the one that opened the file, or those that open it from now on.
        instead_of: The keys that failed, or that no longer open the file.
        error: Why the file was refused; its class and key are recorded, not its text.
        form: The form in which the configuration was exported or found.
        client: The name of the relay's client that made a request.
        operation: The request's path.
        records: The uids of the records that it read or changed.
        code: The error's code, if the request was rejected.
        cached: Whether the data key came from the cache, without a call to the key service.
    """
    named = os.environ.get(FILE_VARIABLE) or os.environ.get(SINKS_VARIABLE)
    if not named and not settings_file_expected():
        return
    _deliver(
        {
            "event": kind,
            "path": None if path is None else os.path.abspath(path),
            "envelope_id": None if header is None else header.envelope_id.hex(),
            "revision": None if header is None else header.revision,
            "keys": [str(key) for key in keys],
            "instead_of": [str(key) for key in instead_of],
            "error": None if error is None else type(error).__name__,
            "error_key": None if error is None else error.key,
            "form": form,
            "client": client,
            "operation": operation,
            "records": list(records),
            "code": code,
            "cached": True if cached else None,
        }
    )


def _deliver(what: Mapping[str, object]) -> None:
    from types import MappingProxyType

    try:
        file, plugins = configured_sinks()
    except KsmStorageError as exc:
        warn_once(f"{exc.message}; {exc.hint}" if exc.hint else exc.message)
        return
    if not file and not plugins:
        return
    event = MappingProxyType(_completed(what))
    if file:
        _notify("file", file, event)
    for name in plugins:
        _notify("plugin", name, event)


def configured_sinks() -> tuple[str | None, tuple[str, ...]]:
    """Return the audit file's path, and the names of the sinks that plugins offer.

    Variables override the settings file's table ``[audit]``. An envelope never names a sink.

    Raises:
        SettingsError: The settings file is not trusted, or has an invalid option.
    """
    table = file_table(TABLE)
    unknown = sorted(set(table) - _OPTIONS)
    if unknown:
        raise SettingsError(
            f"unknown option {unknown[0]!r} in the table [{TABLE}] of the settings file",
            hint="its options are: file, sinks",
        )
    file = os.environ.get(FILE_VARIABLE) or table.get("file")
    named = os.environ.get(SINKS_VARIABLE)
    plugins = named.split(",") if named else table.get("sinks", [])
    if not isinstance(file, (str, type(None))):
        raise SettingsError(f"'file' in the table [{TABLE}] of the settings file must be a string")
    if not isinstance(plugins, list):
        raise SettingsError(f"'sinks' in the table [{TABLE}] of the settings file must be a list")
    return file or None, tuple(str(name).strip() for name in plugins if str(name).strip())


def _completed(what: Mapping[str, object]) -> dict[str, object]:
    import datetime as dt
    import socket

    now = dt.datetime.now(dt.UTC)
    return {
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "host": socket.gethostname(),
        "user": os.getuid() if hasattr(os, "getuid") else None,
        "process": os.getpid(),
        **{name: value for name, value in what.items() if value is not None and value != []},
    }


def _notify(kind: str, name: str, event: Mapping[str, object]) -> None:
    try:
        _sink(kind, name).hook.audit_event(event=event)
    except KsmStorageError as exc:
        warn_once(f"{exc.message}; {exc.hint}" if exc.hint else exc.message)
    # A sink must not stop the operation it records, whatever it raises; its text may hold secrets.
    except (Exception, SystemExit) as exc:  # noqa: BLE001
        warn_once(f"the audit sink {name!r} raised {type(exc).__name__}")


@lru_cache(maxsize=16)
def _sink(kind: str, name: str) -> pluggy.PluginManager:
    import pluggy

    from ..contract import hookspecs
    from .file_sink import FileSink

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(FileSink(name) if kind == "file" else _plugin(name))
    return manager


def _plugin(name: str) -> object:
    import importlib

    from ..keys.discovery import find_entry_points

    for entry in find_entry_points(GROUP):
        if entry.name == name:
            return importlib.import_module(entry.module)
    raise PluginNotFoundError(f"no installed plugin provides the audit sink {name!r}")


def warn_once(reason: str) -> None:
    """Log that audit events are being lost, once per process: a batch would repeat it per file."""
    if os.getpid() in _warned:
        return
    _warned.add(os.getpid())
    import logging

    logging.getLogger("ksm_storage.audit").warning("warning: audit events are lost: %s", reason)
