"""Conformance: what a key wrapper says of its key and its access is true and fit to print."""

from __future__ import annotations

import os

import pytest

from ..contract.abilities import NEEDS, DescribesKey, ProbesPermissions, is_public_key_algorithm
from ..contract.key_uri import KeyUri
from ..keys.kek import Kek
from ..keys.kek_abilities import describe_access, describe_key, probe_permissions, wrapping_version
from ..plugin import DEK_BYTES, KeyWrapper
from .subject import AAD, Subject


class AbilityTests(Subject):
    """Test the abilities that the key wrapper has; those it has not are skipped."""

    def test_a_key_that_opens_is_described_as_enabled(self, key_wrapper: KeyWrapper) -> None:
        kek = self._describing(key_wrapper)

        described = describe_key(kek)

        assert described is not None
        assert described.state == "enabled", "the suite's key wraps and unwraps"
        assert described.deletion is None, "the suite's key is not about to be destroyed"

    def test_a_fresh_wrap_is_under_the_current_version(self, key_wrapper: KeyWrapper) -> None:
        kek = self._describing(key_wrapper)
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        version = wrapping_version(kek, wrapped, aad=AAD)

        described = describe_key(kek)
        assert described is not None
        if version is not None and described.current_version is not None:
            assert version == described.current_version

    def test_a_key_whose_algorithm_needs_no_secret_is_called_public(
        self, key_wrapper: KeyWrapper
    ) -> None:
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD)

        described = describe_key(self._describing(key_wrapper))

        assert described is not None
        if is_public_key_algorithm(wrapped.algorithm):
            assert described.public, "anyone who has the public key can wrap under it"

    def test_the_access_is_described(self, key_wrapper: KeyWrapper) -> None:
        labels = describe_access(self._probing(key_wrapper))

        assert labels

    def test_no_permission_is_missing_for_the_suites_own_caller(
        self, key_wrapper: KeyWrapper
    ) -> None:
        probes = probe_permissions(self._probing(key_wrapper))

        assert probes
        missing = [probe.permission for probe in probes if probe.granted is False]
        assert not missing, "the suite's caller may do all that it does"

    def test_each_permission_has_a_need(self, key_wrapper: KeyWrapper) -> None:
        probes = probe_permissions(self._probing(key_wrapper))

        assert probes
        assert {probe.need for probe in probes} <= set(NEEDS)
        assert "open" in {probe.need for probe in probes}, "opening a file takes a permission"

    def _describing(self, key_wrapper: KeyWrapper) -> Kek:
        if not isinstance(key_wrapper, DescribesKey):
            pytest.skip("the key wrapper does not describe its key")
        return Kek(KeyUri(self.provider, "under-test"), key_wrapper)

    def _probing(self, key_wrapper: KeyWrapper) -> Kek:
        if not isinstance(key_wrapper, ProbesPermissions):
            pytest.skip("the key wrapper does not probe permissions")
        return Kek(KeyUri(self.provider, "under-test"), key_wrapper)
