"""The page of the documentation that holds the help text of each command.

``python -m ksm_storage.cli.reference_page FILE`` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .command_tree import all_commands

_BEGINNING = """\
# Command line reference

What each command answers to `--help`, written by `make reference` and held to the code by a test.
[The command line](cli.md) says how the commands are used.
"""


def reference_page() -> str:
    """Return the page in Markdown."""
    sections = (
        f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n"
        for context in all_commands()
    )
    return "\n".join([_BEGINNING, *sections])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_page(), encoding="utf-8", newline="\n")
