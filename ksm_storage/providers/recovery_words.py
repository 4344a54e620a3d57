"""The recovery secret as 24 words with a checksum (BIP-39, English)."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from ..plugin import SettingsError

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS = 24

_PER_LINE = 6
# What the printed sheet has besides the words: their numbers, and the key's URI.
_NO_WORD = re.compile(r"\d+[.):]?|recovery://\S+")


def words_of(secret: bytes) -> list[str]:
    """Return the words that stand for a secret of 32 bytes."""
    return _list().to_mnemonic(secret).split()


def sheet(words: list[str]) -> str:
    """Return the words numbered, in lines to be written down."""
    numbered = [f"{number:>2} {word:<9}" for number, word in enumerate(words, 1)]
    lines = [numbered[start : start + _PER_LINE] for start in range(0, len(words), _PER_LINE)]
    return "\n".join(" ".join(line).rstrip() for line in lines)


def secret_of(text: str) -> bytes:
    """Return the secret that words stand for; case, line ends and numbers do not matter.

    Raises:
        SettingsError: They are not 24 words of the list, or their checksum does not fit. Which
            word is wrong is told by its place alone.
    """
    # Some editors begin a file with a mark of its encoding.
    typed = text.removeprefix("\ufeff").lower().split()
    words = [word for word in typed if not _NO_WORD.fullmatch(word)]
    if len(words) != WORDS:
        raise SettingsError(
            f"the recovery words are {len(words)}, not {WORDS}",
            hint="give all words of the sheet, in their order",
        )
    known = set(_list().wordlist)
    wrong = [str(place) for place, word in enumerate(words, 1) if word not in known]
    if wrong:
        raise SettingsError(
            f"the recovery words hold what is no word of the list, at place {', '.join(wrong)}",
            hint="compare with the sheet; the first four letters of each word are unique",
        )
    secret = _entropy(words)
    if secret is None:
        raise SettingsError(
            "the recovery words do not fit their checksum",
            hint="compare with the sheet: a word is wrong, or two changed places",
        )
    return secret


def _entropy(words: list[str]) -> bytes | None:
    try:
        return bytes(_list().to_entropy(words))
    # What the library raises may hold words; as it is not raised on, it is nobody's cause.
    except (ValueError, LookupError):
        return None


@cache
def _list() -> Mnemonic:
    # Loaded with the first words: a file with a recovery key wraps and opens without them.
    from mnemonic import Mnemonic

    return Mnemonic("english")
