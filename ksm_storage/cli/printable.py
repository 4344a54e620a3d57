"""Text from elsewhere as a terminal may show it: nothing in it steers the terminal."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """Return the text with each character that is not printable written as an escape.

    Those are controls, line ends, marks that turn the direction of writing, and bytes of a file's
    name that are no text.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_json(content: object, *, indent: int | None = None) -> str:
    """Return JSON in readable Unicode that holds no character of the kind above, but line ends."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    # Outside of strings JSON has none of them, and inside this is how JSON writes any character.
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        # A byte of a file's name that is no text, as Python carries it.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", errors="surrogatepass").decode("ascii")
