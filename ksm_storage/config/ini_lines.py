"""Find at once what would take the INI parser a time that grows with the square of the text.

``configparser`` collects each line that it cannot read in one growing message, and tries every
split of the blanks before a delimiter. Both are hours for a megabyte that was made for it.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"\[.+\]")
_DELIMITER = re.compile(r"[=:]")
_MANY_BLANKS = re.compile(r"\s{16}")
_COMMENTS = ("#", ";")


def first_bad_line(text: str) -> int | None:
    """Return the number of the first line that the parser would refuse, or None."""
    indent_of_option: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(_COMMENTS):
            continue
        indent = len(line) - len(line.lstrip())
        if indent_of_option is not None and indent > indent_of_option:
            # It goes on with the value of the line before.
            continue
        if _HEADER.match(stripped):
            indent_of_option = None
        elif _is_option(stripped):
            indent_of_option = indent
        else:
            return number
    return None


def _is_option(line: str) -> bool:
    delimiter = _DELIMITER.search(line)
    # A name alone is an option without a value, which the parser takes.
    name = line if delimiter is None else line[: delimiter.start()].rstrip()
    return bool(name) and not _MANY_BLANKS.search(name)
