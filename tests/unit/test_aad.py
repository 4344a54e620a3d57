"""The AAD has one meaning in both of its forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksm_storage.contract.key_wrapper import Aad

PAIRS = st.dictionaries(st.text("ab=:\0", max_size=4), st.text("ab=:\0", max_size=4), max_size=4)


def test_the_bytes_are_a_count_and_pairs_sorted_by_name_behind_their_lengths() -> None:
    aad = Aad({"b": "22", "a": ""})

    assert bytes(aad) == b"\0\x02" + b"\0\x01a\0\0" + b"\0\x01b\0\x0222"


def test_an_empty_aad_has_a_count_of_zero() -> None:
    assert bytes(Aad({})) == b"\0\0"


@given(PAIRS, PAIRS)
def test_two_maps_have_the_same_bytes_only_if_they_are_equal(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (bytes(Aad(one)) == bytes(Aad(other))) is (one == other)
    assert (Aad(one) == Aad(other)) is (one == other)


def test_the_order_does_not_matter() -> None:
    one, other = Aad({"a": "1", "b": "2"}), Aad({"b": "2", "a": "1"})

    assert one == other
    assert hash(one) == hash(other)
    assert bytes(one) == bytes(other)


def test_a_later_change_of_the_source_changes_nothing() -> None:
    source = {"a": "1"}
    aad = Aad(source)

    source["a"] = "2"

    assert aad == Aad({"a": "1"})


def test_it_reads_as_a_map() -> None:
    aad = Aad({"a": "1", "b": "2"})

    assert dict(aad) == {"a": "1", "b": "2"}
    assert len(aad) == 2
    assert aad.get("c") is None


def test_it_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        Aad({})["a"] = "1"  # type: ignore[index]  # what is tested
