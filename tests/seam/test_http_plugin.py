"""The example in ``examples/http_plugin`` is as small as promised; its own tests try the rest."""

from __future__ import annotations

from pathlib import Path

MODULE = Path(__file__).parents[2] / "examples" / "http_plugin" / "ksm_storage_lockbox.py"


def test_the_example_has_at_most_120_lines() -> None:
    assert len(MODULE.read_text(encoding="utf-8").splitlines()) <= 120
