"""The page on the security model names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security-model.md"
PLACES = sorted(set(re.findall(r"`(ksm_storage/[\w/]+\.py)`", PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("place", PLACES)
def test_a_named_file_exists(place: str) -> None:
    assert (ROOT / place).is_file()


def test_both_halves_are_named() -> None:
    assert {"engine", "vault", "wire", "storage"} <= {place.split("/")[1] for place in PLACES}
