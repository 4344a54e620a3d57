"""Open key wrappers as the core does."""

from __future__ import annotations

from collections.abc import Mapping

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.kek import Kek
from ksm_storage.plugin import Aad

AAD = Aad({"purpose": "ksm-storage", "envelope": "00112233445566778899aabbccddeeff", "env": "prod"})
DEK = bytes(range(32))


def open_kek(key: str, settings: Mapping[str, object], **more: object) -> Kek:
    """Return the KEK of a key name."""
    return Kek.open(KeyUri("gcp-kms", key), {"gcp-kms": {**settings, **more}})
