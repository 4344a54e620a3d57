"""What the TPM's response codes mean, by the step in which it answers.

Source: TPM 2.0 Library, Part 2, "TPM_RC (Response Codes)"; tpm2-tss, ``tss2_common.h``, for the
layers above the TPM.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    Call,
    DeadlinePassedError,
    DecryptionError,
    ErrorRule,
    KeyNotFoundError,
    KeyStateError,
    KsmStorageError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    UnavailableError,
    unreadable_reply,
)

# Formats without the number of the handle, session or parameter.
AUTH_FAIL, BAD_AUTH, HANDLE, VALUE, INTEGRITY = 0x8E, 0xA2, 0x8B, 0x84, 0x9F
POLICY_FAIL, LOCKOUT, PCR_CHANGED = 0x9D, 0x921, 0x128

_FORMAT_ONE, _WARNING = 0x080, 0x900
_LAYER_SHIFT, _LAYER_TPM, _LAYER_RESOURCE_MANAGER = 16, 0, 11


class TpmError(Exception):
    """Hold a response code, and the step that it answers."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"response 0x{code:x} in the step {step!r}")
        self.step = step
        self.layer = code >> _LAYER_SHIFT
        low = code & 0xFFFF
        self.code = low & 0xBF if low & _FORMAT_ONE else low


class DeviceError(Exception):
    """Hold why the device cannot be opened."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.error = error


_ALTERED = ErrorRule(
    DecryptionError,
    "the wrapped data key does not belong to the key {key} of {place}, or was altered",
    "only the machine that sealed it can open it, and only until its TPM is cleared; use another "
    "key of the file",
)
MOVED = ErrorRule(
    KeyStateError,
    "the PCRs that the data key is sealed to have changed: {detail}",
    "if you changed the firmware or boot loader, open the file with another recipient and run "
    "'ksm-storage rewrap --refresh'",
)
_WRONG_PIN = ErrorRule(
    AuthenticationError,
    "{place} rejected the PIN",
    "correct the PIN; the TPM counts wrong ones and locks itself",
)
_LOCKED = ErrorRule(
    AuthenticationError,
    "{place} is locked after too many wrong PINs",
    "wait until its lockout time is over, or run: tpm2_dictionarylockout --clear-lockout",
)
_NO_KEY = ErrorRule(
    KeyNotFoundError,
    "the key {key} was not found in {place}",
    "'tpm2_getcap handles-persistent' lists them; clearing the TPM removes them",
)
_WRONG_KIND = ErrorRule(
    KeyStateError,
    "the key {key} is not a {detail} key",
    "sealing needs a storage key (a restricted decryption key); a device key must be a P-256 "
    "signing key",
)
_OWNER = ErrorRule(
    AuthenticationError,
    "the owner hierarchy of {place} requires an authorization value",
    "make a persistent storage key, and name it as tpm2://0x81...",
)
_KEY_AUTH = ErrorRule(
    AuthenticationError,
    "the key {key} requires an authorization value that is not the PIN",
    "use a key without one; data keys are protected by the option 'require_pin'",
)
_BUSY = ErrorRule(UnavailableError, "{place} is busy ({detail})", "retry")
_BROKEN = ErrorRule(
    ProviderError, "{place} failed or was not started ({detail})", "restart the machine"
)
_UNREACHABLE = ErrorRule(
    UnavailableError, "cannot reach {place} ({detail})", "check the option 'tcti' or 'device'"
)
_REJECTED = ErrorRule(ProviderError, "{place} rejected the step {operation} ({detail})", None)
_SLOW = ErrorRule(
    UnavailableError,
    "{place} did not answer in time",
    "retry; the option 'deadline' sets the limit",
)
_NO_DEVICE = ErrorRule(
    ProviderError,
    "{place} was not found",
    "turn the TPM on in the firmware settings, or give the virtual machine one",
)
_DEVICE_DENIED = ErrorRule(
    PermissionDeniedError,
    "no permission to use {place}",
    "add the user to the group of the device: usermod -aG tss USER",
    permission="{permission}",
)
_DEVICE_BUSY = ErrorRule(
    UnavailableError, "{place} is in use", "use the resource manager: /dev/tpmrm0, not /dev/tpm0"
)

_NO_LIBRARY = ErrorRule(
    SettingsError,
    "the library for the TPM cannot be loaded",
    "install tpm2-pytss, and the system's libtss2-esys with libtss2-tcti-device",
)
_NO_BANK = ErrorRule(
    SettingsError,
    "{place} does not have the PCR bank of the option 'pcrs'",
    "'tpm2_getcap pcrs' lists the banks; most have sha256",
)

# By step and code. What is not here counts by its code alone.
_STEPS: Mapping[tuple[str, int], ErrorRule] = {
    ("load", INTEGRITY): _ALTERED,
    ("load", VALUE): _ALTERED,
    ("load", 0x95): _ALTERED,  # TPM_RC_SIZE
    ("load", 0x9A): _ALTERED,  # TPM_RC_INSUFFICIENT
    ("load", 0x82): _ALTERED,  # TPM_RC_ATTRIBUTES
    ("load", 0xA5): _ALTERED,  # TPM_RC_BINDING
    ("read PCRs", VALUE): _NO_BANK,
    ("find", HANDLE): _NO_KEY,
    ("find", 0x184): _NO_KEY,
    ("derive", BAD_AUTH): _OWNER,
    ("derive", AUTH_FAIL): _OWNER,
    ("derive", 0x85): _OWNER,  # TPM_RC_HIERARCHY: it is disabled
    ("load", AUTH_FAIL): _KEY_AUTH,
    ("seal", AUTH_FAIL): _KEY_AUTH,
    ("load", BAD_AUTH): _KEY_AUTH,
    ("seal", BAD_AUTH): _KEY_AUTH,
}
_CODES: Mapping[int, ErrorRule] = {
    AUTH_FAIL: _WRONG_PIN,
    BAD_AUTH: _WRONG_PIN,
    LOCKOUT: _LOCKED,
    **dict.fromkeys((0x100, 0x101, 0x130), _BROKEN),  # INITIALIZE, FAILURE, REBOOT
    # NV_RATE, RETRY, YIELDED, CANCELED, TESTING, NV_UNAVAILABLE, and full memories.
    **dict.fromkeys((0x920, 0x922, 0x908, 0x909, 0x90A, 0x923, 0x902, 0x903, 0x904), _BUSY),
}


def translated(exc: Exception, call: Call) -> KsmStorageError:
    """Return the documented error for what the TPM or its library answered."""
    if isinstance(exc, DeviceError):
        return _of_device(exc.error).error(call)
    if isinstance(exc, DeadlinePassedError):
        return _SLOW.error(call)
    if isinstance(exc, ImportError):
        return _NO_LIBRARY.error(call)
    if not isinstance(exc, TpmError):
        return unreadable_reply(call)
    detail = f"0x{exc.code:x}"
    if exc.layer not in (_LAYER_TPM, _LAYER_RESOURCE_MANAGER):
        return _UNREACHABLE.error(call, detail=f"layer {exc.layer}, {detail}")
    rule = _STEPS.get((exc.step, exc.code)) or _CODES.get(exc.code)
    return (rule or _REJECTED).error(call._replace(operation=exc.step), detail=detail)


def wrong_kind(call: Call, wanted: str) -> KsmStorageError:
    """Return the error for a key of the wrong kind."""
    return _WRONG_KIND.error(call, detail=wanted)


def altered(call: Call) -> KsmStorageError:
    """Return the error for a wrapped data key that was altered."""
    return _ALTERED.error(call)


def _of_device(error: OSError) -> ErrorRule:
    if isinstance(error, FileNotFoundError):
        return _NO_DEVICE
    return _DEVICE_DENIED if isinstance(error, PermissionError) else _DEVICE_BUSY
