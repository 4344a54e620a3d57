"""The page of the plugin names what the code has."""

from __future__ import annotations

from pathlib import Path

import pytest
from ksm_storage_entrust_hsm.errors import DECRYPTION_VALUES, RETURN_VALUES
from ksm_storage_entrust_hsm.hooks import MECHANISMS

from ksm_storage.plugin import ErrorRule

PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "entrust-hsm.md"
ROWS = [*RETURN_VALUES.items(), *DECRYPTION_VALUES.items()]


@pytest.fixture
def page() -> str:
    if not PAGE.exists():
        pytest.skip("the documentation is not beside the plugin")
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "rule"), ROWS, ids=[f"{name}-{rule.kind.__name__}" for name, rule in ROWS]
)
def test_the_page_has_each_return_value_beside_its_error(
    page: str, name: str, rule: ErrorRule
) -> None:
    lines = [line for line in page.splitlines() if line.startswith(f"| `{rule.kind.__name__}` |")]

    assert any(f"`{name}`" in line for line in lines)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_page_has_each_mechanism(page: str, mechanism: str) -> None:
    assert f"`{mechanism}`" in page
