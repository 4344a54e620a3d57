"""Fixtures for the tests of the emulators; the package's own come through its entry point."""

import pytest


@pytest.fixture(autouse=True)
def _isolated(clean_environment: None) -> None:
    """No test sees this machine's credentials, proxies or CA bundles."""
