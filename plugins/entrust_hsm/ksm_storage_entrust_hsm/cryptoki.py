"""One PKCS #11 library: its C types, its functions by name, and attributes of its objects.

Sources: OASIS PKCS #11 Cryptographic Token Interface Base Specification 2.40, and its header
files ``pkcs11t.h`` and ``pkcs11f.h``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from ctypes import POINTER, byref, c_char_p, c_ubyte, c_ulong, c_void_p
from typing import Any, TypeVar

from ksm_storage import plugin as kit

CKR_OK = 0x000
CKR_BUFFER_TOO_SMALL = 0x150
CKR_USER_ALREADY_LOGGED_IN = 0x100
CKR_CRYPTOKI_NOT_INITIALIZED = 0x190
CKR_FUNCTION_NOT_SUPPORTED = 0x54
CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED = 0xE0, 0xE1
CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191

CKF_OS_LOCKING_OK = 0x2  # of C_Initialize
CKF_SERIAL_SESSION = 0x4  # of C_OpenSession
CKF_LOGIN_REQUIRED = 0x4  # of a token
CKF_PROTECTED_AUTHENTICATION_PATH = 0x100
CKF_TOKEN_INITIALIZED = 0x400
CKF_USER_PIN_LOCKED = 0x40000
CKF_ENCRYPT, CKF_DECRYPT = 0x100, 0x200  # of a mechanism
CKF_WRAP, CKF_UNWRAP = 0x20000, 0x40000
CKF_SIGN = 0x800

CKM_ECDSA = 0x1041
CKK_EC = 0x3

CKU_USER = 1
CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY = 2, 3, 4
CKK_GENERIC_SECRET = 0x10
CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL = 0x00, 0x01, 0x02, 0x03
CKA_VALUE, CKA_KEY_TYPE, CKA_ID, CKA_SENSITIVE = 0x11, 0x100, 0x102, 0x103
CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP = 0x104, 0x105, 0x106, 0x107
CKA_SIGN, CKA_EXTRACTABLE, CKA_EC_PARAMS, CKA_EC_POINT = 0x108, 0x162, 0x180, 0x181
CKA_END_DATE, CKA_MODULUS, CKA_VALUE_LEN = 0x111, 0x120, 0x161
CKZ_DATA_SPECIFIED = 1

# After one of these a new session may find the token and the key again. CKR_DEVICE_ERROR is what
# some libraries answer in a forked child, and after their HSM was started anew.
# CKR_OPERATION_ACTIVE is that of a session in which an operation was begun and not ended: by an
# exception between two calls, or by a library that ends none when it fails.
LOST = frozenset(
    {0x03, 0x30, 0x32, 0x60, 0x82, 0x90, 0xB0, 0xB3, 0xE0, 0xE1, 0xF0, 0x101, 0x113, 0x190}
)
# After one of these the same PIN is not sent again.
PIN_REFUSED = frozenset({0xA0, 0xA1, 0xA2, 0xA3, 0xA4})

# What an envelope may hold as a wrapped DEK, and more than any label or id that is a name.
_MAX_OUTPUT = 8192
_MAX_ATTRIBUTE = 4096
_UNAVAILABLE = c_ulong(-1).value
# What C_GetAttributeValue answers when some of the attributes have no value for us.
_PARTLY = frozenset({0x11, 0x12})  # CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID

AttributeValue = bytes | bool | int
_Result = TypeVar("_Result")

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
    """Hold ``CK_C_INITIALIZE_ARGS``, with the further pointer that NSS reads.

    ``parameters`` is the standard's ``pReserved``, where NSS takes its parameters.
    """

    _fields_ = [
        ("mutexes", c_void_p * 4),
        ("flags", c_ulong),
        ("parameters", c_char_p),
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
    "C_Finalize": (1, (c_void_p,)),
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
    "C_SignInit": (42, (_Handle, POINTER(MechanismArgument), _Handle)),
    "C_Sign": (43, (_Handle, _Bytes, c_ulong, _Bytes, _Number)),
    "C_WrapKey": (60, (_Handle, POINTER(MechanismArgument), _Handle, _Handle, _Bytes, _Number)),
    "C_UnwrapKey": (
        61,
        (
            *(_Handle, POINTER(MechanismArgument), _Handle, _Bytes, c_ulong),
            *(*_Template, _Number),
        ),
    ),
}


class CryptokiError(Exception):
    """Report a function that did not return ``CKR_OK``; holds nothing that it was given."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} returned {code:#010x}")
        self.function = function
        self.code = code


class Module:
    """Call the functions of one library, which is initialised once in a process.

    Attributes:
        path: The file it was loaded from.
        generation: How often the library was initialised here. A session of an earlier generation
            is gone, and its number may be that of another session by now.
        abandoned: Sessions that could not be closed, because the library did not return.
        is_fresh: Whether it was initialised here, and nothing was found on its tokens yet.
    """

    def __init__(self, path: str, parameters: str | None = None) -> None:
        self.path = path
        self._parameters = None if parameters is None else parameters.encode("utf-8")
        self.generation = 0
        self.abandoned: list[int] = []
        self.is_fresh = False
        # Held for as long as one task takes: it keeps the steps of one operation together.
        self._tasks = threading.Lock()
        # Held by the thread that is inside the library, also after its caller gave it up.
        self._calls = threading.Lock()
        functions = function_list(path).functions
        self._functions: Mapping[str, Any] = {
            # These prototypes release the GIL during a call.
            name: ctypes.CFUNCTYPE(c_ulong, *arguments)(functions[place])
            for name, (place, arguments) in FUNCTIONS.items()
            if functions[place]
        }
        self._process = 0

    def task(self) -> AbstractContextManager[None]:
        """Keep other tasks out of the library for the block.

        Raises:
            DeadlinePassedError: Another task held it until the deadline.
        """
        return kit.lock_held(self._tasks)

    def run(self, action: Callable[[], _Result]) -> _Result:
        """Return what some calls return, or leave them behind at the deadline.

        A call cannot be ended from outside. Nothing else enters the library until it returns:
        not every library locks itself.

        Raises:
            DeadlinePassedError: The deadline passed.
            BaseException: What the action raised.
        """

        def alone() -> _Result:
            with kit.lock_held(self._calls):
                return action()

        return kit.within_deadline(alone)

    def call(self, function: str, *arguments: object) -> None:
        """Call one function.

        Raises:
            CryptokiError: It did not return ``CKR_OK``.
        """
        found = self._functions.get(function)
        code = int(found(*arguments)) if found else CKR_FUNCTION_NOT_SUPPORTED
        if code == CKR_CRYPTOKI_NOT_INITIALIZED:
            # Another user of the library in this process finalised it.
            self._process = 0
        if code != CKR_OK:
            raise CryptokiError(function, code)

    def output_of(self, function: str, *arguments: object) -> bytes:
        """Call one function that fills a buffer, and return what it wrote."""
        # One call with room enough: asking for the length first would make an HSM that writes
        # its own IV begin twice.
        buffer, length = (c_ubyte * _MAX_OUTPUT)(), c_ulong(_MAX_OUTPUT)
        self.call(function, *arguments, buffer, byref(length))
        return bytes(buffer[: length.value])

    def initialise(self) -> None:
        """Initialise the library if this process has not done so, or somebody finalised it."""
        if self._process == os.getpid():
            return
        arguments = InitializeArguments(flags=CKF_OS_LOCKING_OK, parameters=self._parameters)
        try:
            # With no arguments a library may leave its own locks out, and other users of it in
            # this process would corrupt its state.
            self.call("C_Initialize", byref(arguments))
            self.is_fresh = True
        except CryptokiError as exc:
            # Somebody else in this process uses it, or did so before a fork.
            if exc.code != CKR_CRYPTOKI_ALREADY_INITIALIZED:
                raise
        self._process = os.getpid()
        self.generation += 1
        self.abandoned.clear()

    def restart(self) -> None:
        """Finalise and initialise the library, which then reads its tokens anew."""
        self.call("C_Finalize", None)
        self._process = 0
        self.initialise()

    def bytes_of(self, session: int, handle: int, kind: int) -> bytes:
        """Return the bytes of one attribute; empty where the object has none."""
        return self._attribute(session, handle, kind, _MAX_ATTRIBUTE)

    def number_of(self, session: int, handle: int, kind: int) -> int:
        """Return the number that one attribute holds; -1 where the object has none."""
        # NSS fills no larger buffer with a number.
        raw = self._attribute(session, handle, kind, ctypes.sizeof(c_ulong))
        return c_ulong.from_buffer_copy(raw).value if len(raw) == ctypes.sizeof(c_ulong) else -1

    def flag_of(self, session: int, handle: int, kind: int) -> bool:
        """Tell whether one attribute is there and true."""
        return self._attribute(session, handle, kind, 1) not in (b"", b"\0")

    def find_objects(
        self, session: int, attributes: Mapping[int, AttributeValue], *, limit: int
    ) -> Sequence[int]:
        """Return the handles of up to ``limit`` objects that have all the attributes."""
        handles, count = (c_ulong * limit)(), c_ulong()
        self.call("C_FindObjectsInit", session, *template(attributes))
        try:
            self.call("C_FindObjects", session, handles, limit, byref(count))
        finally:
            self.call("C_FindObjectsFinal", session)
        return list(handles[: count.value])

    def _attribute(self, session: int, handle: int, kind: int, room: int) -> bytes:
        buffer = (c_ubyte * room)()
        entry = Attribute(kind, ctypes.cast(buffer, c_void_p), room)
        try:
            self.call("C_GetAttributeValue", session, handle, byref(entry), 1)
        except CryptokiError as exc:
            if exc.code not in _PARTLY:
                raise
            return b""
        return b"" if entry.length == _UNAVAILABLE else bytes(buffer[: entry.length])

    def __repr__(self) -> str:
        return f"<Module {self.path!r}>"


def template(attributes: Mapping[int, AttributeValue]) -> tuple[object, int]:
    """Return an array of ``CK_ATTRIBUTE`` with its length, as two arguments of a call.

    The array keeps what it points to alive.
    """
    raws = [_packed(value) for value in attributes.values()]
    # ctypes keeps what a c_char_p was made from alive, through the structure and the array.
    entries = (Attribute * len(raws))(
        *(
            Attribute(kind, ctypes.cast(ctypes.c_char_p(raw), c_void_p), len(raw))
            for kind, raw in zip(attributes, raws, strict=True)
        )
    )
    return entries, len(raws)


def _packed(value: AttributeValue) -> bytes:
    if isinstance(value, bool):
        return bytes([value])
    return bytes(c_ulong(value)) if isinstance(value, int) else value


def function_list(path: str) -> FunctionList:
    """Load a library and return its list of functions.

    Raises:
        SettingsError: The file is not a PKCS #11 library, cannot be loaded, or gives no list.
        CryptokiError: It refuses to give the list.
    """
    try:
        get = ctypes.CDLL(path).C_GetFunctionList
    except (OSError, AttributeError, ValueError) as exc:  # the last: no path of a file
        from .errors import unloadable

        raise unloadable(path, exc) from exc
    get.argtypes, get.restype = [POINTER(POINTER(FunctionList))], c_ulong
    found = POINTER(FunctionList)()
    code = int(get(byref(found)))
    if code != CKR_OK:
        raise CryptokiError("C_GetFunctionList", code)
    if not found:
        raise kit.SettingsError(
            f"the PKCS #11 library {path!r} has no list of functions",
            hint="check the option 'module': it must be the PKCS #11 library of the HSM",
        )
    return found.contents
