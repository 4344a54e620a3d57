"""The minimal plugin keeps its contract."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ksm_storage.testing.conformance import KeyWrapperConformance


class TestMinimalPlugin(KeyWrapperConformance):
    provider = "minimal"

    @pytest.fixture
    def key_id(self) -> str:
        return "one"

    @pytest.fixture
    def other_key_id(self) -> str:
        return "two"

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"secret": "correct horse battery staple"}
