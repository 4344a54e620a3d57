"""Read the vector files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Vector:
    """Hold one vector as README.md describes it."""

    name: str
    expect: str
    raw: bytes
    dek: bytes
    context: Mapping[str, str] | None
    payload: bytes | None
    wrap_aad: bytes | None

    def __str__(self) -> str:
        # Plain enough to be given to pytest again, as the name of one test.
        return re.sub(r"[^A-Za-z0-9 .,=+-]+", "_", f"{self.expect} {self.name}")


def vector_paths() -> list[Path]:
    """Return the files in the order of their names."""
    return sorted(FOLDER.glob("*.json"))


def read_vectors(path: Path) -> list[Vector]:
    """Return the vectors of one file."""
    return [_vector(entry) for entry in json.loads(path.read_text())["vectors"]]


def all_vectors() -> list[Vector]:
    """Return the vectors of all files."""
    return [vector for path in vector_paths() for vector in read_vectors(path)]


def _vector(entry: dict[str, str]) -> Vector:
    return Vector(
        entry["name"],
        entry["expect"],
        "".join(map(_text, entry["envelope"])).encode("latin-1"),
        bytes.fromhex(entry["dek"]),
        entry.get("context"),  # type: ignore[arg-type]  # an object of strings
        base64.b64decode(entry["payload"]) if "payload" in entry else None,
        bytes.fromhex(entry["wrap_aad"]) if "wrap_aad" in entry else None,
    )


def _text(piece: str | dict[str, str | int]) -> str:
    if isinstance(piece, str):
        return piece
    return str(piece["repeat"]) * int(piece["times"])
