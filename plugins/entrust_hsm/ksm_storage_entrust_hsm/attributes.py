"""Attributes of PKCS #11 objects, to and from C."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import byref, c_ulong, c_void_p

from . import cryptoki as ck
from .module import CryptokiError, Module

AttributeValue = bytes | bool | int

# Longer labels and ids than this are no names.
_LONGEST = 4096
_UNAVAILABLE = c_ulong(-1).value
# What C_GetAttributeValue answers when some of the attributes have no value for us.
_PARTLY = frozenset({0x11, 0x12})  # CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID


def template(attributes: Mapping[int, AttributeValue]) -> tuple[object, int]:
    """Return an array of ``CK_ATTRIBUTE`` with its length, as two arguments of a call.

    The array keeps what it points to alive.
    """
    raws = [_packed(value) for value in attributes.values()]
    # ctypes keeps what a c_char_p was made from alive, through the structure and the array.
    entries = (ck.Attribute * len(raws))(
        *(
            ck.Attribute(kind, ctypes.cast(ctypes.c_char_p(raw), c_void_p), len(raw))
            for kind, raw in zip(attributes, raws, strict=True)
        )
    )
    return entries, len(raws)


def _packed(value: AttributeValue) -> bytes:
    if isinstance(value, bool):
        return bytes([value])
    return bytes(c_ulong(value)) if isinstance(value, int) else value


def read_bytes(module: Module, session: int, handle: int, kind: int) -> bytes:
    """Return the bytes of one attribute; empty where the object has none."""
    buffer = (ctypes.c_ubyte * _LONGEST)()
    entry = ck.Attribute(kind, ctypes.cast(buffer, c_void_p), _LONGEST)
    try:
        module.call("C_GetAttributeValue", session, handle, byref(entry), 1)
    except CryptokiError as exc:
        if exc.code not in _PARTLY:
            raise
        return b""
    return b"" if entry.length == _UNAVAILABLE else bytes(buffer[: entry.length])


def read_number(module: Module, session: int, handle: int, kind: int) -> int:
    """Return the number that one attribute holds; -1 where the object has none."""
    raw = read_bytes(module, session, handle, kind)
    return c_ulong.from_buffer_copy(raw).value if len(raw) == ctypes.sizeof(c_ulong) else -1


def read_flag(module: Module, session: int, handle: int, kind: int) -> bool:
    """Tell whether one attribute is there and true."""
    return read_bytes(module, session, handle, kind) not in (b"", b"\0")


def find_objects(
    module: Module, session: int, attributes: Mapping[int, AttributeValue], *, most: int
) -> Sequence[int]:
    """Return the handles of so many objects at most that have all the attributes."""
    handles, count = (c_ulong * most)(), c_ulong()
    module.call("C_FindObjectsInit", session, *template(attributes))
    try:
        module.call("C_FindObjects", session, handles, most, byref(count))
    finally:
        module.call("C_FindObjectsFinal", session)
    return list(handles[: count.value])
