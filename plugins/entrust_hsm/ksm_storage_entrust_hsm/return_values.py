"""What each return value of PKCS #11 means here.

Source: OASIS PKCS #11 Cryptographic Token Interface Base Specification 2.40, "Function return
values", and 3.1 for those that it added.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.plugin import (
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)

from .refusal import Refusal

_FAILED = "the token or its library failed"
_FAILED_HINT = "try again; the library's own log says more (for nShield, CKNFAST_DEBUG)"
_GONE = "the token is gone, or its session was ended"
_GONE_HINT = "check that the HSM is reachable and that its cards are in their readers"
_STALE = "the token no longer shows the key"
_STALE_HINT = "the key was deleted, or the login to the token ended"
_PIN = "the token refuses the PIN"
_PIN_HINT = "correct it before the next start: tokens lock after a few wrong PINs"
_FULL = "the token has no room for another session or operation"
_FULL_HINT = "try again later, or have fewer programs use the token at once"
_USAGE = "the key may not be used like this"
_USAGE_HINT = (
    "its attributes must allow the mechanism: CKA_ENCRYPT and CKA_DECRYPT, or CKA_WRAP and "
    "CKA_UNWRAP"
)
_KIND = "the key is not of the kind or size that the mechanism takes"
_KIND_HINT = (
    "look at the option 'mechanism': AES keys of 16, 24 or 32 bytes, RSA keys of 2048 bits or more"
)
_MECHANISM = "the token does not offer the mechanism in this form"
_MECHANISM_HINT = (
    "set the option 'mechanism'; for AES-GCM in FIPS mode also 'iv' to hsm; some tokens know "
    "RSA-OAEP only with SHA-1"
)
_OBJECT = "the token does not take a DEK as an object"
_OBJECT_HINT = "use a mechanism that encrypts data: AES-GCM or RSA-OAEP"
_LOGIN = "the token is not logged in, and the key needs a login"
_OTHER_LOGIN = "somebody else is logged in to the token in this process"
_DAMAGE = "the wrapped DEK does not decrypt: another key, another context or altered data"
_NO_USER = "the token has no user PIN yet"
_THREADS = "the PKCS#11 library cannot be used with several threads"


def _rows(
    kind: type, message: str, hint: str | None, codes: Mapping[int, str]
) -> Mapping[int, Refusal]:
    return {code: Refusal(name, kind, message, hint) for code, name in codes.items()}


RETURN_VALUES: Mapping[int, Refusal] = {
    **_rows(
        UnavailableError,
        _FAILED,
        _FAILED_HINT,
        {
            0x01: "CANCEL",
            0x02: "HOST_MEMORY",
            0x05: "GENERAL_ERROR",
            0x06: "FUNCTION_FAILED",
            0x30: "DEVICE_ERROR",
            0x50: "FUNCTION_CANCELED",
            0x90: "OPERATION_ACTIVE",
            0x91: "OPERATION_NOT_INITIALIZED",
        },
    ),
    **_rows(
        UnavailableError,
        _GONE,
        _GONE_HINT,
        {
            0x03: "SLOT_ID_INVALID",
            0x32: "DEVICE_REMOVED",
            0xB0: "SESSION_CLOSED",
            0xB3: "SESSION_HANDLE_INVALID",
            0xE0: "TOKEN_NOT_PRESENT",
            0xE1: "TOKEN_NOT_RECOGNIZED",
            0x190: "CRYPTOKI_NOT_INITIALIZED",
        },
    ),
    **_rows(
        ThrottledError,
        _FULL,
        _FULL_HINT,
        {0x31: "DEVICE_MEMORY", 0xB1: "SESSION_COUNT", 0x201: "TOKEN_RESOURCE_EXCEEDED"},
    ),
    **_rows(
        KeyNotFoundError,
        _STALE,
        _STALE_HINT,
        {
            0x60: "KEY_HANDLE_INVALID",
            0x82: "OBJECT_HANDLE_INVALID",
            0xF0: "UNWRAPPING_KEY_HANDLE_INVALID",
            0x113: "WRAPPING_KEY_HANDLE_INVALID",
        },
    ),
    **_rows(
        AuthenticationError,
        _PIN,
        _PIN_HINT,
        {0xA0: "PIN_INCORRECT", 0xA1: "PIN_INVALID", 0xA2: "PIN_LEN_RANGE"},
    ),
    0xA3: Refusal("PIN_EXPIRED", AuthenticationError, "the PIN has expired", "set a new PIN"),
    0xA4: Refusal(
        "PIN_LOCKED",
        AuthenticationError,
        "the token is locked after too many wrong PINs",
        "its security officer can set a new PIN",
    ),
    0x101: Refusal(
        "USER_NOT_LOGGED_IN",
        AuthenticationError,
        _LOGIN,
        "set the option 'login' to user and give the PIN",
    ),
    0x102: Refusal("USER_PIN_NOT_INITIALIZED", AuthenticationError, _NO_USER, "set one"),
    **_rows(
        AuthenticationError,
        _OTHER_LOGIN,
        "log in to a token as one user in one process",
        {
            0x103: "USER_TYPE_INVALID",
            0x104: "USER_ANOTHER_ALREADY_LOGGED_IN",
            0x105: "USER_TOO_MANY_TYPES",
            0xB8: "SESSION_READ_WRITE_SO_EXISTS",
        },
    ),
    **_rows(
        PermissionDeniedError,
        "the token forbids the operation",
        "look at the policy of the HSM and of the key",
        {0x1B: "ACTION_PROHIBITED", 0x200: "FUNCTION_REJECTED"},
    ),
    **_rows(
        KeyStateError,
        _USAGE,
        _USAGE_HINT,
        {0x68: "KEY_FUNCTION_NOT_PERMITTED", 0x203: "KEY_EXHAUSTED"},
    ),
    **_rows(
        KeyStateError,
        _KIND,
        _KIND_HINT,
        {
            0x62: "KEY_SIZE_RANGE",
            0x63: "KEY_TYPE_INCONSISTENT",
            0xF1: "UNWRAPPING_KEY_SIZE_RANGE",
            0xF2: "UNWRAPPING_KEY_TYPE_INCONSISTENT",
            0x114: "WRAPPING_KEY_SIZE_RANGE",
            0x115: "WRAPPING_KEY_TYPE_INCONSISTENT",
        },
    ),
    **_rows(
        ProviderError,
        _OBJECT,
        _OBJECT_HINT,
        {
            0x10: "ATTRIBUTE_READ_ONLY",
            0x11: "ATTRIBUTE_SENSITIVE",
            0x12: "ATTRIBUTE_TYPE_INVALID",
            0x13: "ATTRIBUTE_VALUE_INVALID",
            0x69: "KEY_NOT_WRAPPABLE",
            0x6A: "KEY_UNEXTRACTABLE",
            0xB5: "SESSION_READ_ONLY",
            0xD0: "TEMPLATE_INCOMPLETE",
            0xD1: "TEMPLATE_INCONSISTENT",
            0xE2: "TOKEN_WRITE_PROTECTED",
        },
    ),
    **_rows(
        ProviderError,
        _MECHANISM,
        _MECHANISM_HINT,
        {
            0x07: "ARGUMENTS_BAD",
            0x20: "DATA_INVALID",
            0x21: "DATA_LEN_RANGE",
            0x54: "FUNCTION_NOT_SUPPORTED",
            0x70: "MECHANISM_INVALID",
            0x71: "MECHANISM_PARAM_INVALID",
            0x150: "BUFFER_TOO_SMALL",
        },
    ),
    **_rows(
        SettingsError,
        _THREADS,
        "use another library, or another version of it",
        {0x09: "NEED_TO_CREATE_THREADS", 0x0A: "CANT_LOCK"},
    ),
}

# What these mean when they come from a function that decrypts. Libraries differ in which of them
# they give for a wrong AAD or an altered byte, so none is relied upon.
DECRYPTION_VALUES: Mapping[int, Refusal] = {
    **_rows(
        DecryptionError,
        _DAMAGE,
        "restore the file from a backup; that it was wrapped by another key of the same name is "
        "possible too",
        {
            0x07: "ARGUMENTS_BAD",
            0x20: "DATA_INVALID",
            0x21: "DATA_LEN_RANGE",
            0x40: "ENCRYPTED_DATA_INVALID",
            0x41: "ENCRYPTED_DATA_LEN_RANGE",
            0x42: "AEAD_DECRYPT_FAILED",
            0x110: "WRAPPED_KEY_INVALID",
            0x112: "WRAPPED_KEY_LEN_RANGE",
            0x150: "BUFFER_TOO_SMALL",
        },
    ),
    **_rows(
        DecryptionError,
        f"{_DAMAGE}, or the token failed",
        "this return value does not tell these apart; restore the file from a backup, and if "
        "that does not open either, look at the token",
        {0x05: "GENERAL_ERROR", 0x06: "FUNCTION_FAILED"},
    ),
}
