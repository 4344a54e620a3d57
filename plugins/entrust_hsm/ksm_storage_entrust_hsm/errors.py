"""What each return value of PKCS #11 means here.

Source: OASIS PKCS #11 Cryptographic Token Interface Base Specification 2.40, "Function return
values", and 3.1 for those that it added.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping

from ksm_storage import plugin as kit

from .cryptoki import CryptokiError

DECRYPTING = frozenset({"C_Decrypt", "C_UnwrapKey"})

_VENDOR_DEFINED = 0x80000000

_NAMES_TEXT = """
001 CANCEL  002 HOST_MEMORY  003 SLOT_ID_INVALID  005 GENERAL_ERROR  006 FUNCTION_FAILED
007 ARGUMENTS_BAD  009 NEED_TO_CREATE_THREADS  00A CANT_LOCK  010 ATTRIBUTE_READ_ONLY
011 ATTRIBUTE_SENSITIVE  012 ATTRIBUTE_TYPE_INVALID  013 ATTRIBUTE_VALUE_INVALID
01B ACTION_PROHIBITED  020 DATA_INVALID  021 DATA_LEN_RANGE  030 DEVICE_ERROR  031 DEVICE_MEMORY
032 DEVICE_REMOVED  040 ENCRYPTED_DATA_INVALID  041 ENCRYPTED_DATA_LEN_RANGE
042 AEAD_DECRYPT_FAILED  050 FUNCTION_CANCELED  054 FUNCTION_NOT_SUPPORTED  060 KEY_HANDLE_INVALID
062 KEY_SIZE_RANGE  063 KEY_TYPE_INCONSISTENT  068 KEY_FUNCTION_NOT_PERMITTED
069 KEY_NOT_WRAPPABLE  06A KEY_UNEXTRACTABLE  070 MECHANISM_INVALID  071 MECHANISM_PARAM_INVALID
082 OBJECT_HANDLE_INVALID  090 OPERATION_ACTIVE  091 OPERATION_NOT_INITIALIZED  0A0 PIN_INCORRECT
0A1 PIN_INVALID  0A2 PIN_LEN_RANGE  0A3 PIN_EXPIRED  0A4 PIN_LOCKED  0B0 SESSION_CLOSED
0B1 SESSION_COUNT  0B3 SESSION_HANDLE_INVALID  0B5 SESSION_READ_ONLY
0B8 SESSION_READ_WRITE_SO_EXISTS  0D0 TEMPLATE_INCOMPLETE  0D1 TEMPLATE_INCONSISTENT
0E0 TOKEN_NOT_PRESENT  0E1 TOKEN_NOT_RECOGNIZED  0E2 TOKEN_WRITE_PROTECTED
0F0 UNWRAPPING_KEY_HANDLE_INVALID  0F1 UNWRAPPING_KEY_SIZE_RANGE
0F2 UNWRAPPING_KEY_TYPE_INCONSISTENT  101 USER_NOT_LOGGED_IN  102 USER_PIN_NOT_INITIALIZED
103 USER_TYPE_INVALID  104 USER_ANOTHER_ALREADY_LOGGED_IN  105 USER_TOO_MANY_TYPES
110 WRAPPED_KEY_INVALID  112 WRAPPED_KEY_LEN_RANGE  113 WRAPPING_KEY_HANDLE_INVALID
114 WRAPPING_KEY_SIZE_RANGE  115 WRAPPING_KEY_TYPE_INCONSISTENT  150 BUFFER_TOO_SMALL
190 CRYPTOKI_NOT_INITIALIZED  200 FUNCTION_REJECTED  201 TOKEN_RESOURCE_EXCEEDED  203 KEY_EXHAUSTED
"""
_WORDS = _NAMES_TEXT.split()
NAMES: Mapping[int, str] = {
    int(code, 16): name for code, name in zip(_WORDS[::2], _WORDS[1::2], strict=True)
}

RETURN_VALUES: Mapping[str, kit.ErrorRule] = {
    **kit.error_rules(
        kit.UnavailableError,
        {
            "CANCEL HOST_MEMORY GENERAL_ERROR FUNCTION_FAILED DEVICE_ERROR FUNCTION_CANCELED "
            "OPERATION_ACTIVE OPERATION_NOT_INITIALIZED": (
                "the token or its library failed",
                "retry; if it persists, check the library's own log (for nShield, CKNFAST_DEBUG)",
            ),
            "SLOT_ID_INVALID DEVICE_REMOVED SESSION_CLOSED SESSION_HANDLE_INVALID "
            "TOKEN_NOT_PRESENT TOKEN_NOT_RECOGNIZED CRYPTOKI_NOT_INITIALIZED": (
                "the token was removed, or its session was closed",
                "check that the HSM is reachable and that its cards are in their readers",
            ),
        },
    ),
    **kit.error_rules(
        kit.ThrottledError,
        {
            "DEVICE_MEMORY SESSION_COUNT TOKEN_RESOURCE_EXCEEDED": (
                "the token has no room for another session or operation",
                "retry later, or reduce the number of programs that use the token at once",
            )
        },
    ),
    **kit.error_rules(
        kit.KeyNotFoundError,
        {
            "KEY_HANDLE_INVALID OBJECT_HANDLE_INVALID UNWRAPPING_KEY_HANDLE_INVALID "
            "WRAPPING_KEY_HANDLE_INVALID": (
                "the key {key} is no longer on the token",
                "check whether the key was deleted, or the login to the token ended",
            )
        },
    ),
    **kit.error_rules(
        kit.AuthenticationError,
        {
            "PIN_INCORRECT PIN_INVALID PIN_LEN_RANGE": (
                "the token rejected the PIN",
                "correct the PIN before the next start: tokens lock after a few wrong PINs",
            ),
            "PIN_EXPIRED": ("the PIN has expired", "set a new PIN"),
            "PIN_LOCKED": (
                "the token is locked after too many wrong PINs",
                "ask its security officer to set a new PIN",
            ),
            "USER_NOT_LOGGED_IN": (
                "the key {key} requires a login to the token",
                "set the option 'login' to user, and set the PIN",
            ),
            "USER_PIN_NOT_INITIALIZED": (
                "the token has no user PIN yet",
                "initialise the user PIN with the tools of the token",
            ),
            "USER_TYPE_INVALID USER_ANOTHER_ALREADY_LOGGED_IN USER_TOO_MANY_TYPES "
            "SESSION_READ_WRITE_SO_EXISTS": (
                "another user is logged in to the token in this process",
                "log in to a token as one user only in each process",
            ),
        },
    ),
    **kit.error_rules(
        kit.PermissionDeniedError,
        {
            "ACTION_PROHIBITED FUNCTION_REJECTED": (
                "the token forbids the operation on the key {key}",
                "check the policy of the HSM and of the key",
            )
        },
    ),
    **kit.error_rules(
        kit.KeyStateError,
        {
            "KEY_FUNCTION_NOT_PERMITTED KEY_EXHAUSTED": (
                "the key {key} does not allow the operation",
                "its attributes must allow the mechanism: CKA_ENCRYPT and CKA_DECRYPT, or "
                "CKA_WRAP and CKA_UNWRAP",
            ),
            "KEY_SIZE_RANGE KEY_TYPE_INCONSISTENT UNWRAPPING_KEY_SIZE_RANGE "
            "UNWRAPPING_KEY_TYPE_INCONSISTENT WRAPPING_KEY_SIZE_RANGE "
            "WRAPPING_KEY_TYPE_INCONSISTENT": (
                "the key {key} has the wrong type or size for the mechanism",
                "check the option 'mechanism'; AES keys must have 16, 24 or 32 bytes, RSA keys "
                "2048 bits or more",
            ),
        },
    ),
    **kit.error_rules(
        kit.ProviderError,
        {
            "ATTRIBUTE_READ_ONLY ATTRIBUTE_SENSITIVE ATTRIBUTE_TYPE_INVALID "
            "ATTRIBUTE_VALUE_INVALID KEY_NOT_WRAPPABLE KEY_UNEXTRACTABLE SESSION_READ_ONLY "
            "TEMPLATE_INCOMPLETE TEMPLATE_INCONSISTENT TOKEN_WRITE_PROTECTED": (
                "the token does not accept a data key as an object",
                "use a mechanism that encrypts data: AES-GCM or RSA-OAEP",
            ),
            "ARGUMENTS_BAD DATA_INVALID DATA_LEN_RANGE FUNCTION_NOT_SUPPORTED MECHANISM_INVALID "
            "MECHANISM_PARAM_INVALID BUFFER_TOO_SMALL": (
                "the token does not support the mechanism in this form",
                "set the option 'mechanism'; for AES-GCM in FIPS mode also set 'iv' to hsm; some "
                "tokens support RSA-OAEP with SHA-1 only",
            ),
        },
    ),
    **kit.error_rules(
        kit.SettingsError,
        {
            "NEED_TO_CREATE_THREADS CANT_LOCK": (
                "the PKCS #11 library does not support several threads",
                "use another library, or another version of it",
            )
        },
    ),
}

_DAMAGE = "cannot decrypt the wrapped data key: another key, another context or altered data"

_NOT_INITIALIZED = kit.ErrorRule(
    kit.UnavailableError,
    "the PKCS #11 library cannot be initialized",
    "check the library's configuration (for SoftHSM 2 SOFTHSM2_CONF and its folder of tokens, for "
    "nShield the hardserver) and its own log, then retry",
)

# What these mean when they come from a function that decrypts. Libraries differ in which of them
# they give for a wrong AAD or an altered byte, so none is relied upon.
DECRYPTION_VALUES: Mapping[str, kit.ErrorRule] = kit.error_rules(
    kit.DecryptionError,
    {
        "ARGUMENTS_BAD DATA_INVALID DATA_LEN_RANGE ENCRYPTED_DATA_INVALID "
        "ENCRYPTED_DATA_LEN_RANGE AEAD_DECRYPT_FAILED WRAPPED_KEY_INVALID WRAPPED_KEY_LEN_RANGE "
        "BUFFER_TOO_SMALL": (
            _DAMAGE,
            "restore the file from a backup, and check whether the key was replaced by another "
            "one of the same name",
        ),
        "GENERAL_ERROR FUNCTION_FAILED": (
            f"{_DAMAGE}, or the token failed",
            "this return value does not tell these apart: check the token, then restore the file "
            "from a backup",
        ),
    },
)


def return_value(exc: CryptokiError) -> str:
    """Return the function that failed and what it returned, as messages show them."""
    name = NAMES.get(exc.code)
    return f"{exc.function}: CKR_{name}" if name else f"{exc.function}: {exc.code:#x}"


def translated(exc: Exception, key: str) -> kit.KsmStorageError:
    """Return the documented error for a function that failed, or did not return in time."""
    call = kit.Call("a call", key, "the PKCS #11 library")
    if not isinstance(exc, CryptokiError):
        return kit.error_for(
            exc, call, {"DeadlinePassedError": kit.NETWORK_RULES["DeadlinePassedError"]}
        )
    name = NAMES.get(exc.code, "")
    rule = DECRYPTION_VALUES.get(name) if exc.function in DECRYPTING else None
    rule = rule or RETURN_VALUES.get(name)
    if exc.function == "C_Initialize" and rule is not None and rule.kind is kit.UnavailableError:
        rule = _NOT_INITIALIZED
    if rule is None:
        whose = "a vendor-defined" if exc.code & _VENDOR_DEFINED else "an unknown"
        rule = kit.ErrorRule(
            kit.ProviderError,
            f"the token returned {whose} value",
            "look the value up in the documentation of the PKCS #11 library",
        )
    return rule._replace(message=f"{rule.message} ({return_value(exc)})").error(call)


# What the loader of Linux and the BSDs says of a library that another one needs; a file name.
_NEEDED = re.compile(r"([A-Za-z0-9._+-]{1,128}): cannot open shared object file")
_ELF = b"\x7fELF"


def unloadable(path: str, exc: Exception) -> kit.SettingsError:
    """Return the error for a library that the system's loader rejected, with the reason."""
    reason, hint = _load_reason(path, exc)
    return kit.SettingsError(f"cannot load the PKCS #11 library {path!r}: {reason}", hint=hint)


def _load_reason(path: str, exc: Exception) -> tuple[str, str]:
    if isinstance(exc, AttributeError):
        return "it has no function C_GetFunctionList", (
            "check the option 'module': it must be the PKCS #11 library of the HSM"
        )
    if not os.path.isfile(path):
        return "no such file" if not os.path.isdir(path) else "a folder", (
            "check the option 'module', and that the software of the HSM is installed here"
        )
    try:
        with open(path, "rb") as library, open(sys.executable, "rb") as program:
            theirs, ours = library.read(20), program.read(20)
    except OSError as failure:
        return str(failure.strerror), "check the permissions of the file named by 'module'"
    if needed := _NEEDED.match(str(exc)):
        return f"it needs {needed[1]}, which is not installed", (
            f"install it; to list all that is missing: ldd {shlex.quote(path)}"
        )
    if ours[:4] == _ELF and theirs[:4] != _ELF:
        return "not a shared library", (
            "check the option 'module': it must be the file of the PKCS #11 library, not an archive"
        )
    # Bytes 4 and 18 of an ELF file: 32 or 64 bits, and the processor.
    is_whole = len(theirs) == len(ours)
    if ours[:4] == _ELF and is_whole and (theirs[4], theirs[18:]) != (ours[4], ours[18:]):
        return "built for another processor", (
            f"check the option 'module': this Python needs a library for {platform.machine()}"
        )
    return "the system's loader rejects it", (
        "check the option 'module': the file must be complete and built for this system"
    )
