"""One authenticated request, with what every operation does first."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksm_storage_emulators.oci_vault.errors import OciError, hidden
from ksm_storage_emulators.oci_vault.identities import Principal
from ksm_storage_emulators.oci_vault.keys import DELETED, ENABLED, Key, KeyVersion, Vault
from ksm_storage_emulators.service import Call

# "The length of the string representation of the associated data must be fewer than 4096
# characters": https://docs.oracle.com/en-us/iaas/api/#/en/key/latest/datatypes/EncryptDataDetails
MAX_ASSOCIATED_DATA = 4096


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation works with. The vault's lock is held while it runs."""

    call: Call
    caller: Principal
    arguments: Arguments
    vault: Vault
    path: tuple[str, ...]
    now: float

    def key(self, ocid: str, permission: str) -> Key:
        """Return the key, the caller being allowed.

        Raises:
            OciError: NotAuthorizedOrNotFound, which does not tell the two apart.
        """
        key = self.vault.find(ocid)
        if key is None or key.state == DELETED or not self.caller.may(permission, ocid):
            raise hidden()
        return key


def require_enabled(key: Key, version: KeyVersion) -> None:
    """Raise unless the key and the version may be used (assumed: see `errors`)."""
    if version.state == DELETED:
        raise hidden()
    for state in (key.state, version.state):
        if state != ENABLED:
            raise OciError("IncorrectState", f"The key is in state {state}.")


class Arguments:
    """Look members of one body up, refusing what does not fit."""

    def __init__(self, body: bytes) -> None:
        """Read the body.

        Raises:
            OciError: CannotParseRequest.
        """
        try:
            values = json.loads(body or b"{}")
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise OciError("CannotParseRequest", "The request is incorrectly formatted.")
        self._values: Mapping[str, Any] = values

    def optional_text(self, name: str) -> str | None:
        """Return a string, or None."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise _invalid(name)
        return value

    def text(self, name: str) -> str:
        """Return a string that must be there."""
        value = self.optional_text(name)
        if not value:
            raise OciError("MissingParameter", f"{name} is required.")
        return value

    def binary(self, name: str) -> bytes:
        """Return the bytes of a base64 string that must be there."""
        return _decoded(name, self.text(name))

    def binaries(self, name: str) -> list[bytes]:
        """Return the bytes of a list of base64 strings, empty where there is none."""
        values = self._values.get(name) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise _invalid(name)
        return [_decoded(name, value) for value in values]

    def pairs(self, name: str) -> Mapping[str, str]:
        """Return a map of strings, empty where there is none."""
        value = self._values.get(name) or {}
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise _invalid(name)
        if len(json.dumps(value)) >= MAX_ASSOCIATED_DATA:
            raise _invalid(name)
        return value

    def member(self, name: str) -> Mapping[str, Any]:
        """Return an object that must be there."""
        value = self._values.get(name)
        if not isinstance(value, dict):
            raise OciError("MissingParameter", f"{name} is required.")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; absent means False."""
        return self._values.get(name) is True


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(name) from None


def _invalid(name: str) -> OciError:
    return OciError("InvalidParameter", f"{name} is invalid.")
