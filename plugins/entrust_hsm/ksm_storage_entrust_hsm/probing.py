"""The permissions of a key, which in PKCS #11 are its attributes."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage.plugin import KeyStateError, PermissionProbe

from . import choosing
from . import cryptoki as ck
from .keys import Key
from .session import OpenSession

_NAMES = {
    ck.CKA_ENCRYPT: "CKA_ENCRYPT",
    ck.CKA_DECRYPT: "CKA_DECRYPT",
    ck.CKA_WRAP: "CKA_WRAP",
    ck.CKA_UNWRAP: "CKA_UNWRAP",
}


def probed(session: OpenSession, key: Key, *, mechanism: str) -> Sequence[PermissionProbe]:
    """Tell whether the key may do what the mechanism for it needs; calls no operation."""
    try:
        chosen = choosing.choose_mechanism(session, key, mechanism)
    except KeyStateError as exc:
        return [_missing(ck.CKA_DECRYPT, exc.message)]
    as_data = choosing.takes_data(session, key, chosen)
    to_seal = ck.CKA_ENCRYPT if as_data else ck.CKA_WRAP
    to_open = ck.CKA_DECRYPT if as_data else ck.CKA_UNWRAP
    return [
        PermissionProbe(
            _NAMES[to_open],
            "open",
            granted=to_open in key.usage,
            grant=None if to_open in key.usage else _grant(to_open),
        ),
        _to_seal(key, to_seal),
    ]


def _to_seal(key: Key, attribute: int) -> PermissionProbe:
    granted = attribute in key.usage
    reason = None
    if key.wrapping_handle is None:
        reason = "the token does not show exactly one public half of the pair"
    grant = None if granted else _grant(attribute)
    return PermissionProbe(_NAMES[attribute], "seal", granted=granted, reason=reason, grant=grant)


def _missing(attribute: int, reason: str) -> PermissionProbe:
    name, grant = _NAMES[attribute], _grant(attribute)
    return PermissionProbe(name, "open", granted=False, reason=reason, grant=grant)


def _grant(attribute: int) -> str:
    name = _NAMES[attribute]
    return f"set {name} on the key where the token lets it be changed, else make a key that has it"
