"""One vector: an envelope, the raw DEK, what the caller demands and what a reader must say."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.vectors.draft import DEK, Draft, wrap_aad

Repeated = dict[str, str | int]
Pieces = Sequence[str | Repeated]


@dataclass(frozen=True)
class Case:
    """Hold a vector.

    Attributes:
        envelope: Its bytes as Latin-1 text in pieces, one line each, or a text and how often it
            is repeated.
    """

    name: str
    expect: str
    rules: tuple[str, ...]
    envelope: Pieces
    dek: bytes = DEK
    context: Mapping[str, str] | None = None
    payload: bytes | None = None
    aad: bytes | None = None

    @classmethod
    def of(
        cls,
        name: str,
        expect: str,
        draft: Draft | bytes,
        *,
        rules: tuple[str, ...],
        dek: bytes = DEK,
        context: Mapping[str, str] | None = None,
    ) -> Case:
        """Return the case of a draft, or of bytes that no draft can make."""
        raw = draft if isinstance(draft, bytes) else draft.to_bytes()
        pieces = raw.decode("latin-1").splitlines(keepends=True)
        case = cls(name, expect, rules, _by_line_feeds(pieces), dek, context)
        if expect != "success" or isinstance(draft, bytes):
            return case
        return cls(
            name, expect, rules, case.envelope, dek, context, draft.payload, wrap_aad(draft.lines)
        )

    @classmethod
    def patched(cls, name: str, expect: str, sound: Draft, *, header_of: Draft) -> Case:
        """Return a sound envelope into which the header of another draft was copied."""
        lines = header_of.lines
        raw = sound.to_bytes()
        own = "".join(f"{line}\n" for line in sound.lines).encode()
        other = "".join(f"{line}\n" for line in lines).encode()
        return cls.of(name, expect, raw.replace(own, other), rules=("S3",))

    def as_dict(self) -> dict[str, object]:
        """Return it as it stands in its file."""
        parts: dict[str, object | None] = {
            "name": self.name,
            "expect": self.expect,
            "rules": list(self.rules),
            "dek": self.dek.hex(),
            "context": None if self.context is None else dict(self.context),
            "payload": None if self.payload is None else _encoded(self.payload),
            "wrap_aad": None if self.aad is None else self.aad.hex(),
            "envelope": list(self.envelope),
        }
        return {name: part for name, part in parts.items() if part is not None}


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _by_line_feeds(pieces: Sequence[str]) -> Pieces:
    # str.splitlines knows more line ends than the format does.
    text = "".join(pieces)
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [
        rest for rest in [text.rpartition("\n")[2]] if rest
    ]
