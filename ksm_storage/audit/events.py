"""Tell the audit sinks what happened to a sealed file; costs next to nothing where there is none.

This module is loaded by every process that opens a file, so it imports what is loaded anyway.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from ..keys.setting_sources import settings_file_expected

if TYPE_CHECKING:
    from ..errors import KsmStorageError

FILE_VARIABLE = "KSM_STORAGE_AUDIT_FILE"
SINKS_VARIABLE = "KSM_STORAGE_AUDIT_SINKS"

Kind = Literal[
    "opened", "refused", "saved", "protected", "rewrapped", "rekeyed", "exported", "failed_over"
]


class EnvelopeHeader(Protocol):
    """Name what an event takes from an envelope's header."""

    @property
    def envelope_id(self) -> bytes:
        """The envelope's id."""

    @property
    def revision(self) -> int:
        """How often it was saved."""


def emit(
    kind: Kind,
    *,
    path: str | os.PathLike[str] | None = None,
    header: EnvelopeHeader | None = None,
    keys: Sequence[object] = (),
    instead_of: Sequence[object] = (),
    error: KsmStorageError | None = None,
    form: str | None = None,
) -> None:
    """Tell each configured sink of an event; never raises.

    There is no room for a value of a configuration, a DEK or a wrapped one: an event is made of
    names alone.

    Args:
        kind: What happened.
        path: The file, where there is one.
        header: The envelope's header, as it is now.
        keys: The keys concerned: that opened it, or that open it from now on.
        instead_of: The keys that failed, or that open it no more.
        error: Why it was refused; its class and key are told, not its text.
        form: The form in which it was exported or found.
    """
    named = os.environ.get(FILE_VARIABLE) or os.environ.get(SINKS_VARIABLE)
    if not named and not settings_file_expected():
        return
    from .delivery import deliver

    deliver(
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
        }
    )
