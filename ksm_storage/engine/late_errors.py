"""The engine's error classes, loaded when the first error is raised or caught.

Where the official package or ``requests`` is installed, our classes inherit from theirs, so that
handlers written for the official package work. Importing those takes ten times as long as
importing the engine, and a program without errors should not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import *  # noqa: F403 - the same names, for the type checker
else:

    def __getattr__(name: str) -> object:
        from . import errors

        return getattr(errors, name)
