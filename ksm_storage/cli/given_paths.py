"""The paths that a command is given, none of which is a configuration put in a path's place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ..batch.selection import selected_paths
from ..config.recognise import is_plain
from ..envelope.codec import looks_like_envelope
from ..errors import StorageError
from ..storage.sources import refuse_configuration


def given_paths(paths: Sequence[str], lists: Sequence[str] = ()) -> Iterator[str]:
    """Yield each path in the order given; see :func:`selected_paths`.

    Raises:
        StorageError: A list cannot be read, or a configuration is given as a path or as a list.
            Messages name paths, and so it would be shown.
    """
    for path in selected_paths(paths, ()):
        refuse_configuration(path)
        yield path
    for path in selected_paths((), lists):
        _refuse_content(path)
        yield path


def _refuse_content(line: str) -> None:
    raw = os.fsencode(line).removeprefix(b"\xef\xbb\xbf").lstrip()
    # The first line of a configuration that has several is enough: what follows is not read.
    begins = raw.startswith((b"{", b"[")) and not os.path.lexists(line)
    if begins or is_plain(raw) or looks_like_envelope(raw):
        raise StorageError(
            "what is given as a list of paths is a configuration",
            hint="give the path of a configuration itself among PATHS",
        )
