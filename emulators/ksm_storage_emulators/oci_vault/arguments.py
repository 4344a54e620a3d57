"""The JSON body of a request, read as strictly as the service's models describe it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from ksm_storage_emulators.oci_vault.errors import OciError

# "The length of the string representation of the associated data must be fewer than 4096
# characters": https://docs.oracle.com/en-us/iaas/api/#/en/key/latest/datatypes/EncryptDataDetails
LONGEST_ASSOCIATED_DATA = 4096


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
        try:
            return base64.b64decode(self.text(name), validate=True)
        except (binascii.Error, ValueError):
            raise _invalid(name) from None

    def pairs(self, name: str) -> Mapping[str, str]:
        """Return a map of strings, empty where there is none."""
        value = self._values.get(name) or {}
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise _invalid(name)
        if len(json.dumps(value)) >= LONGEST_ASSOCIATED_DATA:
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


def _invalid(name: str) -> OciError:
    return OciError("InvalidParameter", f"{name} is invalid.")
