"""Tell the macOS Keychain whether it may show a dialogue to the user."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable


def allow_interaction(allowed: bool, *, load: Callable[[str], ctypes.CDLL] = ctypes.CDLL) -> None:
    """Set for this process whether the Keychain may ask; without it, it answers with an error.

    Source: Apple Security framework, SecKeychainSetUserInteractionAllowed.
    """
    path = ctypes.util.find_library("Security") or (
        "/System/Library/Frameworks/Security.framework/Security"
    )
    load(path).SecKeychainSetUserInteractionAllowed(ctypes.c_ubyte(allowed))
