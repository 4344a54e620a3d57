"""Decide whether a native store may show a prompt to a user who is there to answer it."""

from __future__ import annotations

import sys

NEVER = "never"
WHEN_INTERACTIVE = "when-interactive"
PROMPTS = (NEVER, WHEN_INTERACTIVE)


def may_prompt(choice: str) -> bool:
    """Tell whether somebody sits at this process and the setting allows to ask them."""
    return choice == WHEN_INTERACTIVE and _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def _is_terminal(stream: object) -> bool:
    # Under pythonw the streams are None; a closed one raises.
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]  # None has none: caught
    except (AttributeError, ValueError):
        return False
