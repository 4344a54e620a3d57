"""One PKCS #11 library: loaded and initialised once in a process, its functions called by name."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping
from ctypes import POINTER, byref, c_ubyte, c_ulong
from typing import Any

from ksm_storage.plugin import SettingsError

from . import cryptoki as ck


class CryptokiError(Exception):
    """Report a function that did not return ``CKR_OK``; holds nothing that it was given."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} returned {code:#010x}")
        self.function = function
        self.code = code


class Module:
    """Call the functions of one library; :attr:`lock` is held for as long as one task takes.

    The lock makes calls safe with libraries that do not lock themselves, and keeps the steps of
    one operation together.
    """

    def __init__(self, path: str) -> None:
        self.lock = threading.RLock()
        self.path = path
        functions = function_list(path).functions
        self._functions: Mapping[str, Any] = {
            # These prototypes release the GIL during a call.
            name: ctypes.CFUNCTYPE(c_ulong, *arguments)(functions[place])
            for name, (place, arguments) in ck.FUNCTIONS.items()
            if functions[place]
        }
        self._process = 0

    def call(self, function: str, *arguments: object) -> None:
        """Call one function.

        Raises:
            CryptokiError: It did not return ``CKR_OK``.
        """
        found = self._functions.get(function)
        code = int(found(*arguments)) if found else _CKR_FUNCTION_NOT_SUPPORTED
        if code != ck.CKR_OK:
            raise CryptokiError(function, code)

    def output_of(self, function: str, *arguments: object) -> bytes:
        """Call one function that fills a buffer, and return what it wrote."""
        # One call with room enough: asking for the length first would make an HSM that writes
        # its own IV begin twice.
        buffer, length = (c_ubyte * _LARGEST_OUTPUT)(), c_ulong(_LARGEST_OUTPUT)
        self.call(function, *arguments, buffer, byref(length))
        return bytes(buffer[: length.value])

    def initialise(self) -> None:
        """Initialise the library if this process has not done so."""
        if self._process == os.getpid():
            return
        arguments = ck.InitializeArguments(flags=ck.CKF_OS_LOCKING_OK)
        try:
            # With no arguments a library may leave its own locks out, and other users of it in
            # this process would corrupt its state.
            self.call("C_Initialize", byref(arguments))
        except CryptokiError as exc:
            # Somebody else in this process uses it, or did so before a fork.
            if exc.code != ck.CKR_CRYPTOKI_ALREADY_INITIALIZED:
                raise
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<Module {self.path!r}>"


def function_list(path: str) -> ck.FunctionList:
    """Load a library and return its list of functions.

    Raises:
        SettingsError: The file is no PKCS #11 library, or cannot be loaded; or it gives no list.
        CryptokiError: It refuses to give the list.
    """
    try:
        library = ctypes.CDLL(path)
        get = library.C_GetFunctionList
    # A ValueError is about a path that no file can have.
    except (OSError, AttributeError, ValueError) as exc:
        raise SettingsError(
            f"{path!r} cannot be loaded as a PKCS#11 library",
            hint="check the option 'module': that the file exists, is for this kind of processor, "
            "and that the libraries it needs are installed",
        ) from exc
    get.argtypes, get.restype = [POINTER(POINTER(ck.FunctionList))], c_ulong
    found = POINTER(ck.FunctionList)()
    code = int(get(byref(found)))
    if code != ck.CKR_OK:
        raise CryptokiError("C_GetFunctionList", code)
    if not found:
        raise SettingsError(
            f"{path!r} gives no list of its functions",
            hint="check the option 'module': that the file is the PKCS#11 library of your HSM",
        )
    return found.contents


# The longest wrapped DEK that an envelope may hold.
_LARGEST_OUTPUT = 8192
_CKR_FUNCTION_NOT_SUPPORTED = 0x54

# After one of these a new session may find the token and the key again. CKR_DEVICE_ERROR is what
# some libraries answer in a forked child, and after their HSM was started anew.
# CKR_OPERATION_ACTIVE is that of a session in which an operation was begun and not ended: by an
# exception between two calls, or by a library that ends none when it fails.
LOST = frozenset(
    {0x03, 0x30, 0x32, 0x60, 0x82, 0x90, 0xB0, 0xB3, 0xE0, 0xE1, 0xF0, 0x101, 0x113, 0x190}
)

# After one of these the same PIN is not sent again.
PIN_REFUSED = frozenset({0xA0, 0xA1, 0xA2, 0xA3, 0xA4})
