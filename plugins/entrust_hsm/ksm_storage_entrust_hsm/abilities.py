"""What ``status`` and ``doctor`` ask: the key, its attributes, and how the token is reached.

Source of nShield's settings: Entrust, nShield Security World 13.6, "nShield PKCS #11 library
environment variables".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from ksm_storage import plugin as kit

from . import cryptoki as ck
from .cryptoki import CryptokiError
from .hooks import CKK_RSA, MECHANISMS, Access
from .keys import Key, OpenSession, choose_mechanism
from .signing import P256

_NAMES = {
    ck.CKA_ENCRYPT: "CKA_ENCRYPT",
    ck.CKA_DECRYPT: "CKA_DECRYPT",
    ck.CKA_WRAP: "CKA_WRAP",
    ck.CKA_UNWRAP: "CKA_UNWRAP",
    ck.CKA_SIGN: "CKA_SIGN",
}

_NSHIELD_MEANINGS: Mapping[str, str] = {
    "CKNFAST_LOADSHARING": "must be 1 for softcards; spreads keys over several HSMs",
    "CKNFAST_NO_SYMMETRIC": "if set, AES keys cannot be used",
    "CKNFAST_NO_UNWRAP": "if set, C_UnwrapKey is refused",
    "CKNFAST_NO_ACCELERATOR_SLOTS": "if set, module-protected keys are hidden",
    "CKNFAST_ASSUME_SINGLE_PROCESS": "1, the default, hides keys that another process made since",
    "CKNFAST_FAKE_ACCELERATOR_LOGIN": "1 lets the accelerator slot take a login; else set the "
    "option 'login' to none",
    "CKNFAST_CARDSET_HASH": "shows one operator card set only",
    "CKNFAST_OVERRIDE_SECURITY_ASSURANCES": "which refusals of insecure keys are lifted",
    "CKNFAST_NONREMOVABLE": "1 keeps card slots when a card is removed",
    "CKNFAST_DEBUG": "above 0, the library writes a log, which may show keys and PINs",
    "CKNFAST_DEBUGFILE": "where that log is written",
}


def describe_key(session: OpenSession, key: Key, *, mechanism: str) -> kit.KeyDescription:
    """Describe a key; PKCS #11 has no versions and no rotation."""
    state_name, usable = _past_its_end(session, key), True
    try:
        if key.key_type == ck.CKK_EC:
            usable = ck.CKA_SIGN in key.usage
            state_name = state_name if usable else "may not sign"
        else:
            choose_mechanism(session, key, mechanism)
    except kit.KeyStateError:
        state_name, usable = "no mechanism fits", False
    stays = not session.module.flag_of(session.handle, key.handle, ck.CKA_EXTRACTABLE)
    return kit.KeyDescription(
        str(key.name),
        "enabled" if usable else "unusable",
        state_name=state_name,
        algorithm=_algorithm(session, key),
        protection="stays in the token" if stays else "EXTRACTABLE",
        public=key.key_type == CKK_RSA,
    )


def _algorithm(session: OpenSession, key: Key) -> str:
    module = session.module
    if key.key_type == ck.CKK_EC:
        curve = module.bytes_of(session.handle, key.handle, ck.CKA_EC_PARAMS)
        return "EC P-256" if curve == P256 else "EC"
    if key.key_type == CKK_RSA:
        bits = len(module.bytes_of(session.handle, key.handle, ck.CKA_MODULUS)) * 8
        return f"RSA-{bits}"
    return f"AES-{module.number_of(session.handle, key.handle, ck.CKA_VALUE_LEN) * 8}"


def _past_its_end(session: OpenSession, key: Key) -> str | None:
    # The standard gives the date no effect, so that the key is enabled all the same.
    try:
        text = session.module.bytes_of(session.handle, key.handle, ck.CKA_END_DATE)
        end = datetime.strptime(text.decode("ascii"), "%Y%m%d").replace(tzinfo=UTC)
    # SoftHSM fails in general where an object has no date; it is not worth more than a shrug.
    except (CryptokiError, ValueError):
        return None
    is_past = end.date() < datetime.now(UTC).date()
    return f"past its CKA_END_DATE {end.date()}" if is_past else None


def describe_access(session: OpenSession, access: Access) -> Mapping[str, str]:
    """Say which library, token and slot a key is reached through, and what may get in the way."""
    name = session.token.name
    offered = [each.name for each in MECHANISMS.values() if session.flags_of(each)]
    labels = {
        "library": access.module,
        "identity": "user" if access.login else "nobody (no login)",
        "token": name.token,
        "serial": name.serial,
        "maker": " ".join(part for part in (name.manufacturer, name.model) if part),
        "slot": str(session.token.slot),
        "mechanisms": ", ".join(offered),
    }
    if is_nshield(access.module):
        for setting in nshield_settings():
            labels[setting.name] = f"{setting.value} (from {setting.source}): {setting.meaning}"
    return {label: value for label, value in labels.items() if value}


def probe_permissions(
    session: OpenSession, key: Key, *, mechanism: str
) -> Sequence[kit.PermissionProbe]:
    """Tell whether the key may do what the mechanism for it needs; calls no operation."""
    if key.key_type == ck.CKK_EC:
        return [_probe(ck.CKA_SIGN, "sign", granted=ck.CKA_SIGN in key.usage)]
    try:
        chosen = choose_mechanism(session, key, mechanism)
    except kit.KeyStateError as exc:
        return [_probe(ck.CKA_DECRYPT, "open", granted=False, reason=exc.message)]
    as_data = session.takes_data(key, chosen)
    to_open = ck.CKA_DECRYPT if as_data else ck.CKA_UNWRAP
    to_seal = ck.CKA_ENCRYPT if as_data else ck.CKA_WRAP
    reason = None
    if key.wrapping_handle is None:
        reason = "the token does not have exactly one public key of the pair"
    return [
        _probe(to_open, "open", granted=to_open in key.usage),
        _probe(to_seal, "seal", granted=to_seal in key.usage, reason=reason),
    ]


def _probe(
    attribute: int, need: kit.Need, *, granted: bool, reason: str | None = None
) -> kit.PermissionProbe:
    name = _NAMES[attribute]
    grant = f"set {name} on the key if the token allows it, otherwise generate a key with {name}"
    return kit.PermissionProbe(
        name, need, granted=granted, reason=reason, grant=None if granted else grant
    )


class NShieldSetting(NamedTuple):
    """Hold one setting of nShield's library as it is now, where it is from, and what it does."""

    name: str
    value: str
    source: str
    meaning: str


def is_nshield(module: str) -> bool:
    """Tell whether the path of a library is that of nShield."""
    return "cknfast" in os.path.basename(module).lower()


def nshield_settings(environment: Mapping[str, str] | None = None) -> list[NShieldSetting]:
    """Return the settings that are set, from the environment and from the file ``cknfastrc``.

    The environment goes first, as in the library. Calls no library.
    """
    given = os.environ if environment is None else environment
    path = os.path.join(given.get("NFAST_HOME", "/opt/nfast"), "cknfastrc")
    found = {name: (value, path) for name, value in _file_settings(path).items()}
    found.update({name: (value, "environment") for name, value in given.items()})
    return [
        NShieldSetting(name, value, source, _NSHIELD_MEANINGS.get(name, ""))
        for name, (value, source) in sorted(found.items())
        if name.startswith("CKNFAST_")
    ]


def _file_settings(path: str) -> Mapping[str, str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        # No file is the usual case; one that we cannot read, the library cannot read either.
        return {}
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}
