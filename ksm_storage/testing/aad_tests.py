"""Conformance: the AAD is bound where the plugin says so, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from ..errors import DecryptionError
from ..plugin import DEK_BYTES, Aad, KeyWrapper
from .subject import AAD, Subject

OTHER_AADS: Mapping[str, Aad] = {
    "value changed": Aad({**AAD, "env": "test"}),
    "case of a value changed": Aad({**AAD, "env": "PROD"}),
    "value emptied": Aad({**AAD, "env": ""}),
    "name changed": Aad({("Env" if name == "env" else name): AAD[name] for name in AAD}),
    "pair dropped": Aad({name: AAD[name] for name in AAD if name != "env"}),
    "pair added": Aad({**AAD, "extra": "1"}),
    "values swapped": Aad({**AAD, "env": AAD["purpose"], "purpose": AAD["env"]}),
    "border moved": Aad({**{n: AAD[n] for n in AAD if n != "env"}, "en": "vprod"}),
    "empty": Aad({}),
}


class AadTests(Subject):
    """Unwrap under another AAD than the one that was given to wrap."""

    @pytest.mark.parametrize("change", OTHER_AADS)
    def test_another_aad_is_refused_exactly_if_the_plugin_binds_it(
        self, key_wrapper: KeyWrapper, change: str
    ) -> None:
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)

        if not key_wrapper.binds_aad:
            # A plugin that binds and denies it would hide a failure that the docs explain.
            assert key_wrapper.unwrap(wrapped, aad=OTHER_AADS[change]) == dek, "binds_aad is True"
            return
        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(wrapped, aad=OTHER_AADS[change])

    def test_an_aad_where_there_was_none_is_refused(self, key_wrapper: KeyWrapper) -> None:
        if not key_wrapper.binds_aad:
            pytest.skip("the plugin says that its service does not bind the AAD")
        wrapped = key_wrapper.wrap(os.urandom(DEK_BYTES), aad=Aad({}))

        with pytest.raises(DecryptionError):
            key_wrapper.unwrap(wrapped, aad=AAD)

    def test_binds_aad_is_a_plain_answer(self, key_wrapper: KeyWrapper) -> None:
        assert key_wrapper.binds_aad in (True, False)
        assert key_wrapper.binds_aad is key_wrapper.binds_aad, "it does not change"

    def test_the_order_of_the_pairs_does_not_matter(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)
        wrapped = key_wrapper.wrap(dek, aad=AAD)
        reversed_aad = Aad({name: AAD[name] for name in reversed(list(AAD))})

        assert key_wrapper.unwrap(wrapped, aad=reversed_aad) == dek

    def test_an_aad_as_long_as_contexts_get_is_accepted(self, key_wrapper: KeyWrapper) -> None:
        dek = os.urandom(DEK_BYTES)
        aad = Aad({**AAD, **{f"name-{number}": "v=1; +/~" * 8 for number in range(8)}})

        assert key_wrapper.unwrap(key_wrapper.wrap(dek, aad=aad), aad=aad) == dek
