"""What messages may repeat: a secret is easily typed or pasted into the wrong place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import pairwise

# A typing error in a word, and not a PIN, password or key: those have digits, or are longer.
_WORD = re.compile(r"[A-Za-z_-]{1,24}")
_MAX_PATH = 4096
_OF_FILES = ("file", "path")
_NO_PATH = "(not shown: not an absolute path)"

# Shorter texts are no key, token or configuration; a key of 32 bytes has 43 characters in base64.
_MIN_SECRET = 43
_FIELD = re.compile(
    r"KSM_CONFIG\s*=|[\"'](?:privateKey|appKey|clientKey|clientId)[\"']", re.IGNORECASE
)
# How '{"', '{ ', '[' and a line end before them begin in base64, once and twice encoded.
_CONFIG = re.compile(
    r"[\"']?(?:e[wy][A-Za-z0-9]|W[1w]|Cns|IHs|DQp7|ZXl|ZXd|ZXc)[A-Za-z0-9+/_=-]{40,}"
)
# A one-time token behind its region or host: 32 bytes, whatever characters they make.
_TOKEN = re.compile(r"[A-Za-z0-9.-]{2,253}:[A-Za-z0-9_-]{43}")
_RUN = re.compile(r"[A-Za-z0-9+_=-]{43,}")
# With slashes, which a path has too.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_HEX = re.compile(r"[0-9A-Fa-f-]+")


def shown_path(path: str) -> str:
    """Return the path as messages show it, or that it is not shown.

    A text that is neither absolute nor an existing path may be the file's content, such as a PIN.
    """
    return repr(path) if _is_path(path) else _NO_PATH


def is_plain_word(text: str) -> bool:
    """Tell whether a text can be a misspelt word and no PIN, password or key."""
    return _WORD.fullmatch(text) is not None


def shown_choice(value: object) -> str:
    """Return ``, not 'slow'`` for a word that is not a choice; nothing for what may be a secret.

    A user may give the credential itself for the option ``credential``.
    """
    return f", not {value!r}" if isinstance(value, str) and is_plain_word(value) else ""


def shown_value(name: str, value: object) -> str:
    """Return the value of a setting that is not declared secret, or that it is not shown."""
    text = str(value)
    if name.endswith(_OF_FILES) and not _is_path(text):
        return _NO_PATH
    # The password of a URL, or a document where its name belongs.
    if ("://" in text and "@" in text) or text.lstrip("\ufeff \r\n\t").startswith(("{", "-----")):
        return "(not shown: it may hold a secret)"
    return text


def may_be_secret(text: str) -> bool:
    """Tell whether an argument looks like a configuration, a key or a token.

    Names of files and keys do not, nor do digests in hexadecimal; a long name that was generated
    at random may.
    """
    if _FIELD.search(text) or _TOKEN.fullmatch(text):
        return True
    if len(text) < _MIN_SECRET:
        return False
    runs = [run[0] for run in _RUN.finditer(text)]
    if _BASE64.fullmatch(text):
        runs.append(text)
    return bool(_CONFIG.match(text)) or any(map(_is_random, runs))


def shown_argument(text: str) -> str:
    """Return an argument as messages show it, or that it is not shown."""
    if may_be_secret(text) and not os.path.lexists(text[:_MAX_PATH]):
        return "(not shown: it may be a secret)"
    return repr(text)


def without_secrets(message: str, arguments: Iterable[str]) -> str:
    """Return a message without those of the arguments that may be secrets."""
    for argument in arguments:
        for text in (argument, argument.partition("=")[2]):
            if text and may_be_secret(text):
                message = message.replace(text, "(not shown)").replace(repr(text), "(not shown)")
    return message


def _is_random(run: str) -> bool:
    """Tell whether letters and digits alternate as they do in base64 and in no name."""
    if _HEX.fullmatch(run):
        return False
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in run if c.isalnum()]
    changes = sum(one != other for one, other in pairwise(kinds))
    return len(set(kinds)) == 3 and changes >= 0.4 * len(kinds)


def _is_path(text: str) -> bool:
    if len(text) > _MAX_PATH or "\0" in text:
        return False
    return os.path.isabs(text) or os.path.exists(text)
