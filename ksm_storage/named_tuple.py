"""``typing.NamedTuple`` at a third of the cost of a definition, for the types of every start."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _Definition(type):
        """Make a named tuple of a class statement, without compiling its annotations."""

        def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, members)
            fields = tuple(members.get("__annotations__", ()))
            defaults = [members.pop(field) for field in fields if field in members]
            made = namedtuple(name, fields, defaults=defaults, module=members["__module__"])
            return type(name, (made,), {"__slots__": (), **members})

    class NamedTuple(metaclass=_Definition):
        """Define a tuple with named fields; see :class:`typing.NamedTuple`, whose rules hold."""
