"""What a person may see of a setting's value: a secret is easily put into the wrong setting."""

from __future__ import annotations

import os
import re

# A slip of the pen in a word, and no PIN, password or key: those have digits, or are longer.
_WORD = re.compile(r"[A-Za-z_-]{1,24}")
_LONGEST_PATH = 4096
_OF_FILES = ("file", "path")
_NO_PATH = "(not shown: it is no absolute path)"


def shown_path(path: str) -> str:
    """Return the path as messages show it, or that it is not shown.

    What is neither absolute nor there may be what the file should hold, such as a PIN.
    """
    return repr(path) if _is_path(path) else _NO_PATH


def shown_choice(value: object) -> str:
    """Return ``, not 'slow'`` for a word that is none of the choices; nothing for what may be more.

    Who reads ``credential`` may give the credential.
    """
    return f", not {value!r}" if isinstance(value, str) and _WORD.fullmatch(value) else ""


def shown_value(name: str, value: object) -> str:
    """Return the value of a setting that is not declared a secret, or that it is not shown."""
    text = str(value)
    if name.endswith(_OF_FILES) and not _is_path(text):
        return _NO_PATH
    # The password of a URL, or a document where its name belongs.
    if ("://" in text and "@" in text) or text.lstrip("\ufeff \r\n\t").startswith(("{", "-----")):
        return "(not shown: it may hold a secret)"
    return text


def _is_path(text: str) -> bool:
    if len(text) > _LONGEST_PATH or "\0" in text:
        return False
    return os.path.isabs(text) or os.path.exists(text)
