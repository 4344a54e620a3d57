"""From a return value of PKCS #11 to a documented error."""

from __future__ import annotations

from ksm_storage.plugin import KsmStorageError, ProviderError

from .module import CryptokiError
from .return_values import DECRYPTION_VALUES, RETURN_VALUES

DECRYPTING = frozenset({"C_Decrypt", "C_UnwrapKey"})

_VENDOR_DEFINED = 0x80000000


def translated(exc: CryptokiError) -> KsmStorageError:
    """Return the documented error for a function that failed."""
    if exc.function in DECRYPTING and exc.code in DECRYPTION_VALUES:
        return DECRYPTION_VALUES[exc.code].error()
    if exc.code in RETURN_VALUES:
        return RETURN_VALUES[exc.code].error()
    whose = "the vendor's own value" if exc.code & _VENDOR_DEFINED else "the value"
    return ProviderError(
        f"the token answered {whose} {exc.code:#x} to {exc.function}",
        hint="look the value up in the documentation of the PKCS#11 library",
    )
