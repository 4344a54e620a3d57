"""Choose the mechanism by what the key may do and what its token offers."""

from __future__ import annotations

from ctypes import byref

from ksm_storage.plugin import KeyStateError

from . import cryptoki as ck
from .keys import Key
from .mechanisms import AUTO, MECHANISMS, Mechanism
from .module import CryptokiError
from .session import OpenSession

# What C_GetMechanismInfo answers for a mechanism that the token does not have.
_NOT_OFFERED = frozenset({0x54, 0x70})


def choose_mechanism(session: OpenSession, key: Key, wanted: str) -> Mechanism:
    """Return the mechanism to wrap with.

    Raises:
        KeyStateError: None fits the key, or the one that is asked for does not.
    """
    if wanted != AUTO:
        mechanism = MECHANISMS[wanted]
        _refuse_other_kind(key, mechanism)
        return mechanism
    fitting = [each for each in MECHANISMS.values() if each.key_type == key.key_type]
    for mechanism in fitting:
        if _is_usable(session, key, mechanism):
            return mechanism
    raise KeyStateError(
        f"the key {str(key.name)!r} and its token offer no mechanism that wraps a DEK",
        hint="an AES key with CKA_ENCRYPT and CKA_DECRYPT is best; CKA_WRAP and CKA_UNWRAP, or an "
        "RSA pair, do as well",
    )


def takes_data(session: OpenSession, key: Key, mechanism: Mechanism) -> bool:
    """Tell whether the mechanism decrypts data with this key; else it unwraps objects only."""
    flags = _flags(session, mechanism)
    return bool(flags & ck.CKF_DECRYPT) and ck.CKA_DECRYPT in key.usage


def is_offered(session: OpenSession, mechanism: Mechanism) -> bool:
    """Tell whether the token has the mechanism at all."""
    return bool(_flags(session, mechanism))


def _refuse_other_kind(key: Key, mechanism: Mechanism) -> None:
    if mechanism.key_type != key.key_type:
        raise KeyStateError(
            f"the key {str(key.name)!r} is not of the kind that {mechanism.name} takes"
        )


def _is_usable(session: OpenSession, key: Key, mechanism: Mechanism) -> bool:
    flags = _flags(session, mechanism)
    # Both ways are asked for, also to wrap: what cannot be opened again must not be made. The
    # public half of a pair may be missing; that has an error of its own.
    as_data = flags & ck.CKF_ENCRYPT and flags & ck.CKF_DECRYPT and ck.CKA_DECRYPT in key.usage
    as_object = flags & ck.CKF_WRAP and flags & ck.CKF_UNWRAP and ck.CKA_UNWRAP in key.usage
    return bool(as_data or (as_object and not mechanism.binds_aad and not any(mechanism.oaep_hash)))


def _flags(session: OpenSession, mechanism: Mechanism) -> int:
    info = ck.MechanismInfo()
    slot = session.token.slot
    try:
        session.module.call("C_GetMechanismInfo", slot, mechanism.code, byref(info))
    except CryptokiError as exc:
        if exc.code not in _NOT_OFFERED:
            raise
        return 0
    return int(info.flags)
