"""What a token tells of a key: its kind, whether it stays inside, and how it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ksm_storage.plugin import KeyDescription, KeyStateError

from . import choosing
from . import cryptoki as ck
from .attributes import read_bytes, read_flag, read_number
from .keys import Key
from .mechanisms import CKK_RSA, MECHANISMS
from .module import CryptokiError
from .nshield import is_nshield, nshield_settings
from .options import Access
from .session import OpenSession


def described(session: OpenSession, key: Key, *, mechanism: str) -> KeyDescription:
    """Describe a key; PKCS #11 has no versions and no rotation."""
    state_name = _past_its_end(session, key)
    try:
        choosing.choose_mechanism(session, key, mechanism)
    except KeyStateError:
        return _description(session, key, usable=False, state_name="no mechanism fits")
    return _description(session, key, usable=True, state_name=state_name)


def access_labels(session: OpenSession, access: Access) -> Mapping[str, str]:
    """Say which library, token and slot a key is reached through, and what may get in the way."""
    name = session.token.name
    labels = {
        "library": access.module,
        "identity": "user" if access.login else "nobody (no login)",
        "token": name.token,
        "serial": name.serial,
        "maker": " ".join(part for part in (name.manufacturer, name.model) if part),
        "slot": str(session.token.slot),
        "mechanisms": ", ".join(
            each.name for each in MECHANISMS.values() if choosing.is_offered(session, each)
        ),
    }
    if is_nshield(access.module):
        for setting in nshield_settings():
            labels[setting.name] = f"{setting.value} (from {setting.source}): {setting.meaning}"
    return {label: value for label, value in labels.items() if value}


def _description(
    session: OpenSession, key: Key, *, usable: bool, state_name: str | None
) -> KeyDescription:
    stays = not read_flag(session.module, session.handle, key.handle, ck.CKA_EXTRACTABLE)
    return KeyDescription(
        str(key.name),
        "enabled" if usable else "unusable",
        state_name=state_name,
        algorithm=_algorithm(session, key),
        protection="stays in the token" if stays else "EXTRACTABLE",
        public=key.key_type == CKK_RSA,
    )


def _algorithm(session: OpenSession, key: Key) -> str:
    module, handle = session.module, session.handle
    if key.key_type == CKK_RSA:
        bits = len(read_bytes(module, handle, key.handle, ck.CKA_MODULUS)) * 8
        return f"RSA-{bits}"
    return f"AES-{read_number(module, handle, key.handle, ck.CKA_VALUE_LEN) * 8}"


def _past_its_end(session: OpenSession, key: Key) -> str | None:
    # The standard gives the date no effect, so that the key is enabled all the same.
    try:
        text = read_bytes(session.module, session.handle, key.handle, ck.CKA_END_DATE)
        end = datetime.strptime(text.decode("ascii"), "%Y%m%d").replace(tzinfo=UTC)
    # SoftHSM fails in general where an object has no date; it is not worth more than a shrug.
    except (CryptokiError, ValueError):
        return None
    is_past = end.date() < datetime.now(UTC).date()
    return f"past its CKA_END_DATE {end.date()}" if is_past else None
