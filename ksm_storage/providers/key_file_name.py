"""The name of a key file as a key URI, and back."""

from __future__ import annotations

import os
from pathlib import PurePath
from urllib.parse import quote, unquote_to_bytes

SCHEME = "key-file"


def path_of(key_id: str) -> str:
    """Return the path that a key id stands for."""
    path = os.fsdecode(unquote_to_bytes(key_id))
    # file:///C:/keys/app.key and the like: the first slash is the URI's, not the path's.
    return path[1:] if len(path) > 2 and path[0] == "/" and path[2] == ":" else path


def key_uri_of(path: str | os.PathLike[str]) -> str:
    """Return the URI of a key file at an absolute path."""
    posix = (path if isinstance(path, PurePath) else PurePath(path)).as_posix()
    return (
        f"{SCHEME}://{'' if posix.startswith('/') else '/'}{quote(os.fsencode(posix), safe='/:')}"
    )
