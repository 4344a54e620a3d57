"""What the TPM says of itself, of a key and of the PCRs; only ``status`` and ``doctor`` ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ksm_storage.plugin import Call, KeyDescription, PermissionDeniedError, PermissionProbe

from .hooks import Access, KeyName
from .key_wrapper import STORAGE
from .sealed_form import Policy
from .tpm import Connection, Tpm

# TPM_PT
_MANUFACTURER, _FIRMWARE = 0x105, 0x10B
_PERMANENT, _COUNTER, _MAX_TRIES = 0x200, 0x20E, 0x20F
_IN_LOCKOUT = 1 << 9

_KINDS = {0x0001: "RSA", 0x0023: "ECC_P256"}


def describe_key(tpm: Connection, name: KeyName, access: Access) -> KeyDescription:
    """Return what a key is, with the present values of the PCRs as its version."""
    with tpm.key(name, *STORAGE) as handle:
        kind = int(tpm.public_area(handle).type)
    pcrs = access.pcrs
    policy = Policy(pcrs, tpm.pcr_digest(pcrs)) if pcrs.numbers else Policy()
    locked = access.needs_pin and bool(tpm.property_of(_PERMANENT) & _IN_LOCKOUT)
    return KeyDescription(
        key_id=str(name),
        state="disabled" if locked else "enabled",
        state_name="locked after wrong PINs" if locked else None,
        algorithm=_KINDS.get(kind, f"0x{kind:04x}"),
        protection=f"TPM {_manufacturer(tpm)}",
        current_version=policy.version,
    )


def describe_access(tpm: Connection, access: Access) -> Mapping[str, str]:
    """Return which TPM answers, and what it has counted."""
    firmware = tpm.property_of(_FIRMWARE)
    found = {
        "TPM": f"{_manufacturer(tpm)}, firmware {firmware >> 16}.{firmware & 0xFFFF}",
        "device": access.device or access.tcti,
        "wrong PINs": f"{tpm.property_of(_COUNTER)} of {tpm.property_of(_MAX_TRIES)}",
    }
    if access.pcrs.numbers:
        pcrs = access.pcrs
        found["PCRs"] = str(Policy(pcrs, tpm.pcr_digest(pcrs)).version)
    return found


def probe_permissions(tpm: Tpm, call: Call) -> Sequence[PermissionProbe]:
    """Use the device once, to read a property."""
    name = call.permission or ""
    try:
        tpm.run(lambda opened: opened.property_of(_MANUFACTURER), call)
        granted, grant = True, None
    except PermissionDeniedError:
        granted, grant = False, "usermod -aG tss USER"
    return [
        PermissionProbe(name, "open", granted, grant=grant),
        PermissionProbe(name, "seal", granted, grant=grant),
    ]


def _manufacturer(tpm: Connection) -> str:
    raw = tpm.property_of(_MANUFACTURER).to_bytes(4, "big")
    return raw.rstrip(b"\0 ").decode("ascii", "replace")
