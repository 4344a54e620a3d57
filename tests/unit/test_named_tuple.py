"""What is defined with our ``NamedTuple`` is what ``typing.NamedTuple`` would make of it."""

from __future__ import annotations

import pickle
import typing

import pytest

from ksm_storage import named_tuple


class Ours(named_tuple.NamedTuple):
    """Hold two values."""

    first: int
    second: tuple[str, ...] = ("two",)

    def __repr__(self) -> str:
        return f"<first {self.first}>"

    @property
    def third(self) -> int:
        """Return one more than the first."""
        return self.first + 1

    @classmethod
    def made(cls) -> Ours:
        """Return one."""
        return cls(7)


class Theirs(typing.NamedTuple):
    first: int
    second: tuple[str, ...] = ("two",)


def test_the_fields_and_their_defaults_are_the_same() -> None:
    assert Ours._fields == Theirs._fields
    assert Ours._field_defaults == Theirs._field_defaults
    assert Ours.__annotations__ == {"first": "int", "second": "tuple[str, ...]"}


def test_it_is_a_tuple_that_equals_another_of_its_values() -> None:
    assert Ours(1) == (1, ("two",))
    assert hash(Ours(1)) == hash((1, ("two",)))
    assert Ours(1)._replace(first=2) == Ours(2)


def test_methods_of_the_class_are_kept() -> None:
    assert repr(Ours(1)) == "<first 1>"
    assert Ours.made().third == 8
    assert Ours.__doc__ == "Hold two values."


def test_a_value_has_no_room_for_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Ours(1).other = 1  # type: ignore[attr-defined]  # what is tested
    with pytest.raises(AttributeError):
        Ours(1).first = 2  # type: ignore[misc]  # what is tested


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(TypeError, match="first"):
        Ours()  # type: ignore[call-arg]  # what is tested


def test_a_value_crosses_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Ours(1))) == Ours(1)
    assert type(pickle.loads(pickle.dumps(Ours(1)))) is Ours
