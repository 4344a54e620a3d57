"""Wrap a DEK under more keys, and prove that each of them unwraps it again."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

from ..contract.key_uri import KeyUri
from ..envelope.model import Envelope, Recipient
from ..envelope.opening import Candidate, OpenKek, unwrap_dek
from ..errors import DecryptionError, KeyNotFoundError, SettingsError
from ..keys.known_providers import OFFLINE


def wrap_for(
    envelope: Envelope, dek: bytes, keys: Iterable[KeyUri], open_kek: OpenKek
) -> dict[KeyUri, Recipient]:
    """Wrap the DEK of an envelope once under each key.

    Raises:
        SettingsError, PluginError, ProviderError: A key cannot be used.
    """
    wraps: dict[KeyUri, Recipient] = {}
    for key in keys:
        with open_kek(key) as kek:
            wrapped = kek.wrap(dek, aad=envelope.header.wrap_aad)
        wraps[key] = Recipient.of(key.provider, wrapped)
    return wraps


def prove(
    envelope: Envelope, candidates: Iterable[Candidate], dek: bytes, open_kek: OpenKek
) -> tuple[str, ...]:
    """Unwrap the DEK through each candidate, and return the keys that could not be asked.

    Those are keys whose secret is kept offline and was not given. Any other key must unwrap.

    Raises:
        DecryptionError: A key unwraps something else.
        SettingsError, PluginError, ProviderError: A key can wrap and not unwrap.
    """
    unproven: list[str] = []
    for candidate in candidates:
        try:
            # Through a fresh key wrapper: what the one that wrapped may still know is no proof.
            unwrapped = unwrap_dek(envelope, candidate, open_kek)
        except KeyNotFoundError:
            if candidate.key.provider not in OFFLINE:
                raise
            unproven.append(str(candidate.key))
            continue
        if not hmac.compare_digest(unwrapped, dek):
            raise DecryptionError(
                "the key does not unwrap what it wrapped",
                key=str(candidate.key),
                operation="unwrap",
            )
    return tuple(unproven)


def refuse_only_offline(keys: Sequence[KeyUri]) -> None:
    """Refuse to leave a file to keys that no application can open it with.

    Raises:
        SettingsError: All keys are kept offline.
    """
    if all(key.provider in OFFLINE for key in keys):
        raise SettingsError(
            "only recovery keys would open the file, and their secrets are kept offline",
            hint="name a key besides them that the application can use",
        )
