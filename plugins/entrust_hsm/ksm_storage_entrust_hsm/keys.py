"""Find the one token and key that a name means, and the mechanism to wrap with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from ctypes import byref, c_ulong
from typing import NamedTuple

from ksm_storage import plugin as kit

from . import cryptoki as ck
from .cryptoki import AttributeValue, CryptokiError, Module
from .hooks import AUTO, MECHANISMS, Mechanism
from .key_names import PRIVATE, SECRET_KEY, KeyName

_CLASSES = {SECRET_KEY: ck.CKO_SECRET_KEY, PRIVATE: ck.CKO_PRIVATE_KEY}
# What C_GetMechanismInfo answers for a mechanism that the token does not have.
_NOT_OFFERED = frozenset({0x54, 0x70})
_EMPTY_SLOT = frozenset({ck.CKR_TOKEN_NOT_PRESENT, ck.CKR_TOKEN_NOT_RECOGNIZED})
_PAUSE_SECONDS = 0.2


class Token(NamedTuple):
    """Hold where a token is, what it is called and what it says about itself."""

    slot: int
    name: KeyName
    flags: int

    def has(self, flag: int) -> bool:
        """Tell whether the token sets a ``CKF_`` flag."""
        return bool(self.flags & flag)


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


class OpenSession:
    """Hold a session that is open, and once logged in ready, and the keys found in it."""

    def __init__(self, module: Module, token: Token, handle: int) -> None:
        self.module = module
        self.token = token
        self.handle = handle
        self.generation = module.generation
        self.is_ready = False
        self._keys: dict[KeyName, Key] = {}

    def key(self, name: KeyName) -> Key:
        """Return the key of a name, looked up once: a search costs more than a decryption.

        Raises:
            KeyNotFoundError: There is none, or more than one.
        """
        if name not in self._keys:
            self._keys[name] = find_key(self, name)
        return self._keys[name]

    def forget_keys(self) -> None:
        """Look each key up anew when it is next asked for."""
        self._keys.clear()

    def identity_of(self, key: Key) -> KeyName:
        """Return all attributes of a key and its token, for a recorded name to be held against."""
        return self.token.name._replace(object=key.name.object, id=key.name.id, type=key.name.type)

    def flags_of(self, mechanism: Mechanism) -> int:
        """Return the ``CKF_`` flags of a mechanism, 0 where the token does not offer it."""
        info = ck.MechanismInfo()
        try:
            self.module.call("C_GetMechanismInfo", self.token.slot, mechanism.code, byref(info))
        except CryptokiError as exc:
            if exc.code not in _NOT_OFFERED:
                raise
            return 0
        return int(info.flags)

    def takes_data(self, key: Key, mechanism: Mechanism) -> bool:
        """Tell whether the mechanism decrypts data with this key; else it unwraps objects only."""
        return bool(self.flags_of(mechanism) & ck.CKF_DECRYPT) and ck.CKA_DECRYPT in key.usage


def find_token(module: Module, wanted: KeyName) -> Token:
    """Return the one token that has the token's attributes of a name.

    Raises:
        UnavailableError: There is none.
        KeyNotFoundError: There is more than one.
    """
    tokens, failure = _tokens(module)
    found = [token for token in tokens if wanted.of_token().covers(token.name)]
    if not found and failure is not None:
        # SoftHSM cannot read a token at the moment in which another process writes to it.
        time.sleep(_PAUSE_SECONDS)
        tokens, failure = _tokens(module)
        found = [token for token in tokens if wanted.of_token().covers(token.name)]
    if not found:
        raise _token_not_found(wanted, tokens, failure) from failure
    if len(found) > 1:
        serials = ", ".join(repr(token.name.serial) for token in found)
        raise kit.KeyNotFoundError(
            f"{len(found)} tokens match {str(wanted)!r}",
            hint=f"add token=... or serial=... to the name of the key; the serials: {serials}",
        )
    return found[0]


def _token_not_found(
    wanted: KeyName, tokens: list[Token], failure: CryptokiError | None
) -> kit.UnavailableError:
    from .errors import return_value

    # The token is perhaps the one that could not be read.
    unread = f"; a slot could not be read ({return_value(failure)})" if failure else ""
    shown = ", ".join(repr(token.name.token) for token in tokens) or "none"
    return kit.UnavailableError(
        f"token not found: {str(wanted.of_token())!r}{unread}",
        hint=f"check its name and that it is connected; the library shows these tokens: {shown}; "
        "for nShield, see preload and CKNFAST_LOADSHARING; for SoftHSM 2, SOFTHSM2_CONF",
    )


def _tokens(module: Module) -> tuple[list[Token], CryptokiError | None]:
    tokens: list[Token] = []
    failure = None
    for slot in _slots(module):
        info = ck.TokenInfo()
        try:
            module.call("C_GetTokenInfo", slot, byref(info))
        except CryptokiError as exc:
            # An empty slot, or one that fails, must not keep us from the token in another.
            if exc.code not in _EMPTY_SLOT:
                failure = exc
            continue
        token = Token(slot, _name_of(info), info.flags)
        if token.has(ck.CKF_TOKEN_INITIALIZED):
            tokens.append(token)
    return tokens, failure


def _slots(module: Module) -> list[int]:
    count = c_ulong()
    module.call("C_GetSlotList", 1, None, byref(count))
    # Room for tokens that appear between the two calls.
    count = c_ulong(count.value + 16)
    slots = (c_ulong * count.value)()
    module.call("C_GetSlotList", 1, slots, byref(count))
    return list(slots[: count.value])


def _name_of(info: ck.TokenInfo) -> KeyName:
    # Filled up with spaces, and by some libraries with NULs.
    label, serial, manufacturer, model = (
        bytes(padded).decode("utf-8", "replace").rstrip(" \0")
        for padded in (info.label, info.serial, info.manufacturer, info.model)
    )
    return KeyName(token=label, serial=serial, manufacturer=manufacturer, model=model)


def find_key(session: OpenSession, wanted: KeyName) -> Key:
    """Return the one key that has the key's attributes of a name.

    Raises:
        KeyNotFoundError: There is none, or more than one.
    """
    module, token = session.module, session.token.name
    found = [
        (kind, handle)
        for kind, number in _CLASSES.items()
        if wanted.type in (None, kind)
        for handle in module.find_objects(
            session.handle, {ck.CKA_CLASS: number, **_attributes(wanted)}, limit=2
        )
    ]
    if not found:
        raise kit.KeyNotFoundError(
            f"key not found on the token {token.token!r}: {str(wanted)!r}",
            hint="check the label and the id; a private object is visible only after a login, and "
            "a new one may need a restart of this process",
        )
    if len(found) > 1:
        raise kit.KeyNotFoundError(
            f"several keys of the token {token.token!r} match {str(wanted)!r}",
            hint=f"add what tells them apart to the name of the key: {_apart(session, found)}",
        )
    kind, handle = found[0]
    label = module.bytes_of(session.handle, handle, ck.CKA_LABEL).decode("utf-8", "replace")
    identifier = module.bytes_of(session.handle, handle, ck.CKA_ID)
    # Serial, manufacturer and model are recorded only where they were asked for: in a cluster,
    # or after a restore, the same key lies on tokens that differ in them.
    name = wanted._replace(
        token=token.token or None, object=label or None, id=identifier or None, type=kind
    )
    return _described(session, handle, name)


def _apart(session: OpenSession, found: list[tuple[str, int]]) -> str:
    names = [
        str(
            KeyName(
                id=session.module.bytes_of(session.handle, handle, ck.CKA_ID) or None, type=kind
            )
        )
        for kind, handle in found
    ]
    if len(set(names)) == len(names):
        return ", or ".join(sorted(names))
    return "id=... or type=..., and give each key an id of its own"


def _described(session: OpenSession, handle: int, name: KeyName) -> Key:
    module = session.module
    key_type = module.number_of(session.handle, handle, ck.CKA_KEY_TYPE)
    wrapping: int | None = handle
    if name.type == PRIVATE:
        public = {ck.CKA_CLASS: ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE: key_type, **_attributes(name)}
        halves = module.find_objects(session.handle, public, limit=2)
        # Two of them could be two keys: wrapping under the wrong one would lose the DEK.
        wrapping = halves[0] if len(halves) == 1 else None
    usage = [
        each
        for holder, kinds in (
            (wrapping, (ck.CKA_ENCRYPT, ck.CKA_WRAP)),
            (handle, (ck.CKA_DECRYPT, ck.CKA_UNWRAP, ck.CKA_SIGN)),
        )
        if holder is not None
        for each in kinds
        if module.flag_of(session.handle, holder, each)
    ]
    return Key(handle, wrapping, name, key_type, frozenset(usage))


def _attributes(name: KeyName) -> Mapping[int, AttributeValue]:
    # Session objects do not count: another part of this process may make one of the same name.
    attributes: dict[int, AttributeValue] = {ck.CKA_TOKEN: True}
    if name.object is not None:
        attributes[ck.CKA_LABEL] = name.object.encode("utf-8")
    if name.id is not None:
        attributes[ck.CKA_ID] = name.id
    return attributes


def choose_mechanism(session: OpenSession, key: Key, wanted: str) -> Mechanism:
    """Return the mechanism to wrap with.

    Raises:
        KeyStateError: None fits the key, or the one that is asked for does not.
    """
    if wanted != AUTO:
        mechanism = MECHANISMS[wanted]
        if mechanism.key_type != key.key_type:
            raise kit.KeyStateError(
                f"the key {str(key.name)!r} has a type that {mechanism.name} does not support",
                hint="check the option 'mechanism'",
            )
        return mechanism
    for mechanism in MECHANISMS.values():
        if mechanism.key_type == key.key_type and _is_usable(session, key, mechanism):
            return mechanism
    raise kit.KeyStateError(
        f"no mechanism of the token can wrap with the key {str(key.name)!r}",
        hint="use an AES key with CKA_ENCRYPT and CKA_DECRYPT, else one with CKA_WRAP and "
        "CKA_UNWRAP, or an RSA pair",
    )


def _is_usable(session: OpenSession, key: Key, mechanism: Mechanism) -> bool:
    flags = session.flags_of(mechanism)
    # Both ways are asked for, also to wrap: what cannot be opened again must not be made. The
    # public half of a pair may be missing; that has an error of its own.
    as_data = flags & ck.CKF_ENCRYPT and flags & ck.CKF_DECRYPT and ck.CKA_DECRYPT in key.usage
    as_object = flags & ck.CKF_WRAP and flags & ck.CKF_UNWRAP and ck.CKA_UNWRAP in key.usage
    return bool(as_data or (as_object and not mechanism.binds_aad and not any(mechanism.oaep_hash)))
