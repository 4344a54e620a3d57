"""The page on the security model names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security-model.md"
PLACES = sorted(
    set(
        re.findall(
            r"`((?:local_vault/)?ksm_storage\w*/[\w/]+\.py)`", PAGE.read_text(encoding="utf-8")
        )
    )
)


@pytest.mark.parametrize("place", PLACES)
def test_a_named_file_exists(place: str) -> None:
    assert (ROOT / place).is_file()


def test_both_halves_are_named() -> None:
    folders = {place.rpartition("/")[0] for place in PLACES}

    assert {"ksm_storage/engine", "ksm_storage/wire", "ksm_storage/storage"} <= folders
    assert {
        f"local_vault/ksm_storage_local_vault/{half}" for half in ("owner", "server")
    } <= folders
