"""Find the one key that a name means on a token, and what it may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ksm_storage.plugin import KeyNotFoundError, KeyStateError

from . import cryptoki as ck
from .attributes import AttributeValue, find_objects, read_bytes, read_flag, read_number
from .key_names import PRIVATE, SECRET_KEY, KeyName
from .module import Module
from .tokens import Token

_CLASSES = {SECRET_KEY: ck.CKO_SECRET_KEY, PRIVATE: ck.CKO_PRIVATE_KEY}


class Key(NamedTuple):
    """Hold a key as one session sees it.

    Attributes:
        handle: The key that decrypts.
        wrapping_handle: The key that encrypts: the same one, or the public half of the pair, or
            None where the token does not hold that.
        name: Its resolved name.
        key_type: Its ``CKK_`` number.
        usage: The ``CKA_`` numbers of what it may do.
    """

    handle: int
    wrapping_handle: int | None
    name: KeyName
    key_type: int
    usage: frozenset[int]


def find_key(module: Module, session: int, token: Token, wanted: KeyName) -> Key:
    """Return the one key that has the key's attributes of a name.

    Raises:
        KeyNotFoundError: There is none, or more than one.
    """
    found = [
        (kind, handle)
        for kind, number in _CLASSES.items()
        if wanted.type in (None, kind)
        for handle in find_objects(
            module, session, {ck.CKA_CLASS: number, **_attributes(wanted)}, most=2
        )
    ]
    if not found:
        raise KeyNotFoundError(
            f"the token {token.name.token!r} shows no key {str(wanted)!r}",
            hint="check the label and the id; a private object shows only after a login, and one "
            "that another process made may show only after a restart",
        )
    if len(found) > 1:
        raise KeyNotFoundError(
            f"more than one key of the token {token.name.token!r} has the name {str(wanted)!r}",
            hint="add id=... or type=... to the name of the key",
        )
    kind, handle = found[0]
    return _described(
        module, session, handle, _resolved(module, session, handle, token, wanted, kind)
    )


def _resolved(
    module: Module, session: int, handle: int, token: Token, wanted: KeyName, kind: str
) -> KeyName:
    label = read_bytes(module, session, handle, ck.CKA_LABEL).decode("utf-8", "replace")
    identifier = read_bytes(module, session, handle, ck.CKA_ID)
    # Serial, manufacturer and model are recorded only where they were asked for: in a cluster,
    # or after a restore, the same key lies on tokens that differ in them.
    return wanted._replace(
        token=token.name.token or None,
        object=label or None,
        id=identifier or None,
        type=kind,
    )


def _described(module: Module, session: int, handle: int, name: KeyName) -> Key:
    key_type = read_number(module, session, handle, ck.CKA_KEY_TYPE)
    wrapping: int | None = handle
    if name.type == PRIVATE:
        public = {ck.CKA_CLASS: ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE: key_type, **_attributes(name)}
        halves = find_objects(module, session, public, most=2)
        # Two of them could be two keys: wrapping under the wrong one would lose the DEK.
        wrapping = halves[0] if len(halves) == 1 else None
    usage = [
        each
        for holder, kinds in (
            (wrapping, (ck.CKA_ENCRYPT, ck.CKA_WRAP)),
            (handle, (ck.CKA_DECRYPT, ck.CKA_UNWRAP)),
        )
        if holder is not None
        for each in kinds
        if read_flag(module, session, holder, each)
    ]
    return Key(handle, wrapping, name, key_type, frozenset(usage))


def wrapping_handle(key: Key) -> int:
    """Return the handle of the key that encrypts.

    Raises:
        KeyStateError: The token does not hold the public half of the pair, or holds two.
    """
    if key.wrapping_handle is None:
        raise KeyStateError(
            f"the token does not show exactly one public key for {str(key.name)!r}",
            hint="the public key needs the label and the id of the private one; to unwrap, the "
            "private key is enough",
        )
    return key.wrapping_handle


def _attributes(name: KeyName) -> Mapping[int, AttributeValue]:
    # Session objects do not count: another part of this process may make one of the same name.
    attributes: dict[int, AttributeValue] = {ck.CKA_TOKEN: True}
    if name.object is not None:
        attributes[ck.CKA_LABEL] = name.object.encode("utf-8")
    if name.id is not None:
        attributes[ck.CKA_ID] = name.id
    return attributes
