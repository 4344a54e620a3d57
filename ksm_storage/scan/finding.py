"""What was found, and where; never the secret itself."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """Name what was found."""

    JSON = "plain configuration (JSON)"
    BASE64 = "plain configuration (base64)"
    INI = "plain configuration (keeper.ini)"
    SECRET = "secret of a configuration"  # noqa: S105  # a kind of finding
    TOKEN = "one-time token"  # noqa: S105  # likewise


class Finding(NamedTuple):
    """Hold the kind and the line, from 1, of what was found in a file."""

    line: int
    kind: Kind
