"""Find out what the caller may do with a key, by calls that touch no data of the user."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence

from ksm_storage.plugin import (
    DEK_BYTES,
    DecryptionError,
    KeyStateError,
    Need,
    PermissionDeniedError,
    PermissionProbe,
    UnavailableError,
)

from .client import PERMISSIONS, VaultClient
from .key_names import KeyName

_NEEDS: Mapping[str, Need] = {"encrypt": "seal", "decrypt": "open", "get_key": "describe"}


def probed(
    name: KeyName, crypto: VaultClient, management: VaultClient, details: Mapping[str, object]
) -> Sequence[PermissionProbe]:
    """Try each operation with data that is made for it and thrown away."""
    made: list[str] = []

    def encrypt() -> None:
        plaintext = base64.b64encode(os.urandom(DEK_BYTES)).decode()
        reply = crypto.encrypt({**details, "plaintext": plaintext})
        made.append(reply.optional_text("ciphertext") or "")

    def decrypt() -> None:
        # Where nothing could be encrypted, something that no key made: whoever is told that it
        # does not decrypt is one who may decrypt.
        ciphertext = made[0] if made else base64.b64encode(os.urandom(96)).decode()
        crypto.decrypt({**details, "ciphertext": ciphertext})

    def read() -> None:
        management.call("get_key", {"key_id": name.ocid})

    sealing = _probed(name, "encrypt", encrypt)
    return [_probed(name, "decrypt", decrypt), sealing, _probed(name, "get_key", read)]


def _probed(name: KeyName, operation: str, call: Callable[[], None]) -> PermissionProbe:
    permission, need = PERMISSIONS[operation], _NEEDS[operation]
    granted: bool | None = True
    reason = None
    try:
        call()
    except DecryptionError:
        granted = True
    except PermissionDeniedError as exc:
        granted, reason = False, exc.message
    except KeyStateError as exc:
        # Which of the two the service looks at first stands on no page.
        granted, reason = None, exc.message
    except UnavailableError as exc:
        # The management endpoint has a host of its own, which need not be in reach.
        if operation != "get_key":
            raise
        granted, reason = None, exc.message
    grant = None if granted else _policy(permission, name)
    return PermissionProbe(permission, need, granted, reason, grant)


def _policy(permission: str, name: KeyName) -> str:
    return (
        f"Allow group GROUP to {{{permission}}} in compartment COMPARTMENT "
        f"where target.key.id = '{name.ocid}'"
    )
