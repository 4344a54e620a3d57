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

from .aad_tests import AadTests
from .ability_tests import AbilityTests
from .call_tests import CallTests
from .damage_tests import DamageTests
from .fault_tests import FaultTests
from .identity_tests import IdentityTests
from .plugin_tests import PluginTests
from .round_trip_tests import RoundTripTests
from .secrecy_tests import SecrecyTests
from .subject import Fault, Opener, Subject

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
    AbilityTests,
):
    """Hold a plugin to its contract with the core."""
