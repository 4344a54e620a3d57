"""What messages may repeat: a secret is easily typed or pasted into the wrong place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

# A typing error in a word, and not a PIN, password or key: those have digits, or are longer.
_WORD = re.compile(r"[A-Za-z_-]{1,24}")
_MAX_PATH = 4096
_OF_FILES = ("file", "path")
_NO_PATH = "(not shown: not an absolute path)"

# Shorter texts are no key, token or configuration; a key of 32 bytes has 43 characters in base64.
_MIN_SECRET = 40
# Of a secret in several lines or words.
_MIN_PART = 16
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
# The form of an AWS secret access key, of which the length says much: slashes stand in it too.
_ACCESS_KEY = re.compile(r"[A-Za-z0-9+/]{40}")
# Recovery words or a share of them; no name has so many words and nothing else.
_WORDS = re.compile(r"[\"']?(?:[a-z]{3,8}\s+){11,}[a-z]{3,8}[\"']?")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|AGE-SECRET-KEY-", re.IGNORECASE)
# Our own hints say how a password is written.
_PASSWORD = re.compile(r"(://[^/@\s:]*):(?!PASSWORD@)[^/@\s]+@")
_HIDDEN = "(not shown)"
# With slashes, which a path has too.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_HEX = re.compile(r"[0-9A-Fa-f-]+")
# A key of 16 bytes or more. Not with hyphens, which the ids of keys and records have.
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{32,}")


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

    Names of files and keys do not, nor does a digest in hexadecimal inside of one; a long name that
    was generated at random may, and so may 32 hexadecimal digits where no key is named.
    """
    text = text.strip().strip("'\"")
    # Quoted, or as a line of variables or of YAML.
    last = re.split(r"[=\s'\"]", text.rstrip("="))[-1]
    if _FIELD.search(text) or _TOKEN.fullmatch(last) or _PEM.search(text):
        return True
    if _WORDS.fullmatch(text) or _PASSWORD.search(text) or _HEX_KEY.fullmatch(last):
        return True
    if len(text) < _MIN_SECRET:
        return False
    if _ACCESS_KEY.fullmatch(text) and _is_random(text, 0.3):
        return True
    runs = [run[0] for run in _RUN.finditer(text)]
    if _BASE64.fullmatch(text):
        runs.append(text)
    return bool(_CONFIG.match(text)) or any(map(_is_random, runs))


def shown_argument(text: str) -> str:
    """Return an argument as messages show it, or that it is not shown."""
    if may_be_secret(text) and not os.path.lexists(text[:_MAX_PATH]):
        return "(not shown: it may be a secret)"
    return repr(text)


def secrets_in(arguments: Iterable[str]) -> Sequence[str]:
    """Return what may be a secret in a command line, in each form that a message may repeat.

    The name of a file that exists is not one. The longest come first.
    """
    found: set[str] = set()
    for argument in arguments:
        # What click shows of an option, and what we show of NAME=VALUE.
        for text in (argument, argument.lstrip("-")):
            for part in (text, *text.partition("=")[::2], *text.rpartition("=")[::2]):
                if may_be_secret(part) and not os.path.lexists(part[:_MAX_PATH]):
                    found |= {part, *(p for p in part.split() if len(p) >= _MIN_PART)}
    escaped = {repr(text)[1:-1] for text in found} | {json.dumps(text)[1:-1] for text in found}
    folded = {" ".join(text.split()) for text in found}
    return sorted(found | escaped | folded, key=len, reverse=True)


def without_secrets(message: str, secrets: Iterable[str]) -> str:
    """Return a message without these, and without passwords in URLs."""
    for text in secrets:
        message = message.replace(repr(text), _HIDDEN).replace(text, _HIDDEN)
    return _PASSWORD.sub(rf"\1:{_HIDDEN}@", message) if "@" in message else message


def _is_random(run: str, least: float = 0.4) -> bool:
    """Tell whether letters and digits alternate as they do in base64 and in no name."""
    if _HEX.fullmatch(run):
        return False
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in run if c.isalnum()]
    changes = sum(one != other for one, other in pairwise(kinds))
    return len(set(kinds)) == 3 and changes >= least * len(kinds)


def _is_path(text: str) -> bool:
    if len(text) > _MAX_PATH or "\0" in text:
        return False
    return os.path.isabs(text) or os.path.exists(text)
