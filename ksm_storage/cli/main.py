"""The command ``ksm-storage``: what runs before and after the command line itself."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from .. import __version__
from ..process import gc_pause


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (docs/cli.md lists them)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]) and _told_version():
        return 0
    with gc_pause():
        from .program import run
    code = run(given, own=arguments is None)
    if arguments is None:
        # The process ends: the collector need not go through everything once more for that.
        gc.freeze()
    return code


def _told_version() -> bool:
    """Print the version without the command line; return False if that has to say why not."""
    if sys.stdout is None:
        return False
    try:
        sys.stdout.write(f"ksm-storage {__version__}\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True
