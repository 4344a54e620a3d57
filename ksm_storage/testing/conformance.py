"""The tests that every plugin passes: inherit ``KeyWrapperConformance`` and name two keys.

::

    class TestAcme(KeyWrapperConformance):
        provider = "acme"

        @pytest.fixture
        def key_id(self):
            return "keys/one"

        @pytest.fixture
        def other_key_id(self):
            return "keys/two"

The plugin is found and opened as the core does it. What :class:`Subject` lists beyond these
three is optional; a test that needs what was not supplied is skipped, with the reason.
"""

from __future__ import annotations

from .failure_tests import FaultTests, SecrecyTests
from .plugin_tests import AbilityTests, PluginTests, StandardOptionTests
from .subject import Fault, Opener, Subject
from .surroundings_tests import NetworkTests, ProcessTests
from .tampering_tests import AadTests, DamageTests
from .wrapping_tests import CallTests, IdentityTests, RoundTripTests

__all__ = ["Fault", "KeyWrapperConformance", "Opener", "Subject"]


class KeyWrapperConformance(
    RoundTripTests,
    IdentityTests,
    DamageTests,
    AadTests,
    FaultTests,
    SecrecyTests,
    CallTests,
    PluginTests,
    StandardOptionTests,
    AbilityTests,
    NetworkTests,
    ProcessTests,
):
    """Hold a plugin to its contract with the core."""
