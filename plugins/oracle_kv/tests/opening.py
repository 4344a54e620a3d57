"""Open key wrappers as the core does."""

from __future__ import annotations

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.kek import Kek
from ksm_storage.plugin import Aad

AAD = Aad({"purpose": "ksm-storage", "envelope": "00112233445566778899aabbccddeeff", "env": "prod"})


def open_kek(key: str, endpoint: object = None, **settings: object) -> Kek:
    """Return the KEK of a key name, at an endpoint."""
    given = {name: value for name, value in settings.items() if value is not None}
    if endpoint is not None:
        given["endpoint"] = endpoint
    return Kek.open(KeyUri("oracle-kv", key), {"oracle-kv": given})
