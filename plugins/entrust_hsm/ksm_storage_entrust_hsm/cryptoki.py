"""The C types, numbers and functions of PKCS #11 that are used here.

Sources: OASIS PKCS #11 Cryptographic Token Interface Base Specification 2.40, and its header
files ``pkcs11t.h`` and ``pkcs11f.h``.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, c_ubyte, c_ulong, c_void_p

CKR_OK = 0x000
CKR_BUFFER_TOO_SMALL = 0x150
CKR_USER_ALREADY_LOGGED_IN = 0x100
CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191

CKF_OS_LOCKING_OK = 0x2  # of C_Initialize
CKF_SERIAL_SESSION = 0x4  # of C_OpenSession
CKF_LOGIN_REQUIRED = 0x4  # of a token
CKF_PROTECTED_AUTHENTICATION_PATH = 0x100
CKF_TOKEN_INITIALIZED = 0x400
CKF_USER_PIN_LOCKED = 0x40000
CKF_ENCRYPT, CKF_DECRYPT = 0x100, 0x200  # of a mechanism
CKF_WRAP, CKF_UNWRAP = 0x20000, 0x40000

CKU_USER = 1
CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY = 2, 3, 4
CKK_GENERIC_SECRET = 0x10
CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL = 0x00, 0x01, 0x02, 0x03
CKA_VALUE, CKA_KEY_TYPE, CKA_ID, CKA_SENSITIVE = 0x11, 0x100, 0x102, 0x103
CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP = 0x104, 0x105, 0x106, 0x107
CKA_EXTRACTABLE = 0x162
CKA_END_DATE, CKA_MODULUS, CKA_VALUE_LEN = 0x111, 0x120, 0x161
CKZ_DATA_SPECIFIED = 1

_Bytes = POINTER(c_ubyte)
_Number = POINTER(c_ulong)


class Packed(ctypes.Structure):
    """Lay structures out as the platform's libraries do."""

    if sys.platform == "win32":
        # PKCS #11 packs its structures there, and only there.
        _pack_ = 1


class Version(Packed):
    """Hold a ``CK_VERSION``."""

    _fields_ = [("major", c_ubyte), ("minor", c_ubyte)]  # ctypes asks for a list


class FunctionList(Packed):
    """Hold a ``CK_FUNCTION_LIST``: a version, then pointers in the order of ``FUNCTIONS``."""

    _fields_ = [("version", Version), ("functions", c_void_p * 68)]


class InitializeArguments(Packed):
    """Hold ``CK_C_INITIALIZE_ARGS``."""

    _fields_ = [
        ("mutexes", c_void_p * 4),
        ("flags", c_ulong),
        ("reserved", c_void_p),
    ]


class TokenInfo(Packed):
    """Hold a ``CK_TOKEN_INFO``."""

    _fields_ = [
        ("label", c_ubyte * 32),
        ("manufacturer", c_ubyte * 32),
        ("model", c_ubyte * 16),
        ("serial", c_ubyte * 16),
        ("flags", c_ulong),
        ("limits", c_ulong * 10),
        ("hardware", Version),
        ("firmware", Version),
        ("time", c_ubyte * 16),
    ]


class MechanismInfo(Packed):
    """Hold a ``CK_MECHANISM_INFO``."""

    _fields_ = [("smallest", c_ulong), ("largest", c_ulong), ("flags", c_ulong)]


class MechanismArgument(Packed):
    """Hold a ``CK_MECHANISM``."""

    _fields_ = [("code", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class Attribute(Packed):
    """Hold a ``CK_ATTRIBUTE``."""

    _fields_ = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class GcmParameters(Packed):
    """Hold ``CK_GCM_PARAMS``."""

    _fields_ = [
        ("iv", c_void_p),
        ("iv_length", c_ulong),
        ("iv_bits", c_ulong),
        ("aad", c_void_p),
        ("aad_length", c_ulong),
        ("tag_bits", c_ulong),
    ]


class OaepParameters(Packed):
    """Hold ``CK_RSA_PKCS_OAEP_PARAMS``."""

    _fields_ = [
        ("hash", c_ulong),
        ("mgf", c_ulong),
        ("source", c_ulong),
        ("label", c_void_p),
        ("label_length", c_ulong),
    ]


_Template = (POINTER(Attribute), c_ulong)
_Handle = c_ulong

# Name -> place in the list, types of the arguments.
FUNCTIONS: dict[str, tuple[int, tuple[type, ...]]] = {
    "C_Initialize": (0, (c_void_p,)),
    "C_GetSlotList": (4, (c_ubyte, _Number, _Number)),
    "C_GetTokenInfo": (6, (c_ulong, POINTER(TokenInfo))),
    "C_GetMechanismInfo": (8, (c_ulong, c_ulong, POINTER(MechanismInfo))),
    "C_OpenSession": (12, (c_ulong, c_ulong, c_void_p, c_void_p, _Number)),
    "C_CloseSession": (13, (_Handle,)),
    "C_Login": (18, (_Handle, c_ulong, _Bytes, c_ulong)),
    "C_CreateObject": (20, (_Handle, *_Template, _Number)),
    "C_DestroyObject": (22, (_Handle, _Handle)),
    "C_GetAttributeValue": (24, (_Handle, _Handle, *_Template)),
    "C_FindObjectsInit": (26, (_Handle, *_Template)),
    "C_FindObjects": (27, (_Handle, _Number, c_ulong, _Number)),
    "C_FindObjectsFinal": (28, (_Handle,)),
    "C_EncryptInit": (29, (_Handle, POINTER(MechanismArgument), _Handle)),
    "C_Encrypt": (30, (_Handle, _Bytes, c_ulong, _Bytes, _Number)),
    "C_DecryptInit": (33, (_Handle, POINTER(MechanismArgument), _Handle)),
    "C_Decrypt": (34, (_Handle, _Bytes, c_ulong, _Bytes, _Number)),
    "C_WrapKey": (60, (_Handle, POINTER(MechanismArgument), _Handle, _Handle, _Bytes, _Number)),
    "C_UnwrapKey": (
        61,
        (
            *(_Handle, POINTER(MechanismArgument), _Handle, _Bytes, c_ulong),
            *(*_Template, _Number),
        ),
    ),
}
