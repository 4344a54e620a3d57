"""Open key wrappers as the core does."""

from __future__ import annotations

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.kek import Kek
from ksm_storage.plugin import Aad

from .soft_token import LIBRARY, PIN

AAD = Aad({"purpose": "ksm-storage", "envelope": "00112233445566778899aabbccddeeff", "env": "prod"})
DEK = bytes(range(32))
ONE = "token=ksm;object=one"


def open_kek(key: str, **settings: object) -> Kek:
    """Return the KEK of a key name, with the right PIN unless another way is given."""
    given = {"module": LIBRARY, **settings}
    if not given.keys() & {"pin", "pin_file", "pin_fd", "login", "prompt"}:
        given["pin"] = PIN
    return Kek.open(KeyUri("pkcs11", key), {"pkcs11": given})
