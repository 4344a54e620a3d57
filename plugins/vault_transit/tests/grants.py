"""A key at the server, and what its holder may do."""

from __future__ import annotations

from ksm_storage_vault_transit.key_wrapper import TransitKeyWrapper

from .openbao import OpenBao
from .opening import AAD, new_dek, opened


class Grant:
    """A key, and a policy that lets its holder wrap and unwrap."""

    def __init__(self, bao: OpenBao) -> None:
        self.bao = bao
        self.name = bao.new_key()
        self.key_id = f"transit/{self.name}"
        self.policy = bao.policy(
            f'path "transit/+/{self.name}" {{ capabilities = ["update", "read"] }}'
        )

    def opened(self, **settings: object) -> TransitKeyWrapper:
        """Open the key with more settings."""
        return opened(self.key_id, {"endpoint": self.bao.url, **settings})


def round_trips(key: TransitKeyWrapper) -> bool:
    """Tell whether the key wraps and unwraps."""
    dek = new_dek()
    return key.unwrap(key.wrap(dek, aad=AAD), aad=AAD) == dek
