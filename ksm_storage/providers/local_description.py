"""What can be said of a KEK that lies on this machine."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence

from ..contract.abilities import KeyDescription, PermissionProbe
from ..plugin import AuthenticationError, PermissionDeniedError

ALGORITHM = "AES-256"


def described(key_id: str, read: Callable[[], bytes]) -> KeyDescription:
    """Return the description of a KEK that a function reads; what it raises passes."""
    read()
    return KeyDescription(key_id, "enabled", algorithm=ALGORITHM, protection="SOFTWARE")


def local_access(kept_in: Mapping[str, str]) -> Mapping[str, str]:
    """Return labels that say who reads the KEK, and where."""
    try:
        user = getpass.getuser()
    # A container may run under a number that has no name (KeyError until Python 3.13).
    except (KeyError, OSError):
        return dict(kept_in)
    return {"identity": user, **kept_in}


def probed(read: Callable[[], bytes]) -> Sequence[PermissionProbe]:
    """Return whether the KEK can be read, which is all that wrapping and unwrapping need."""
    try:
        read()
    except (AuthenticationError, PermissionDeniedError) as exc:
        return [PermissionProbe("read", "open", granted=False, reason=exc.message, grant=exc.hint)]
    return [PermissionProbe("read", "open", granted=True)]
