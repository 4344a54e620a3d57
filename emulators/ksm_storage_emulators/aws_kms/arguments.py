"""Read the members of a request, held to the constraints that the service documents.

https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ksm_storage_emulators.aws_kms.errors import AwsError, validation_error


class Arguments:
    """The members of one JSON request. Whatever does not fit is a ValidationException."""

    def __init__(self, body: bytes) -> None:
        """Parse the body.

        Raises:
            AwsError: SerializationException for anything but a JSON object.
        """
        try:
            values = json.loads(body or b"{}")
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise AwsError("SerializationException")
        self._values: Mapping[str, Any] = values

    def has(self, name: str) -> bool:
        """Say whether a member was sent."""
        return self._values.get(name) is not None

    def text(self, name: str, *, max_length: int = 2048) -> str:
        """Return a required string of 1 to `max_length` characters."""
        if not self.has(name):
            raise validation_error(_member(name), "Member must not be null")
        value = self._typed(name, str)
        if not value:
            raise _length_error(name, f"greater than or equal to {1}")
        if len(value) > max_length:
            raise _length_error(name, f"less than or equal to {max_length}")
        return str(value)

    def optional_text(self, name: str, *, max_length: int = 2048) -> str | None:
        """Return a string, or None when it was not sent."""
        return self.text(name, max_length=max_length) if self.has(name) else None

    def choice(self, name: str, allowed: Sequence[str], *, default: str) -> str:
        """Return one of the allowed values."""
        value = self._typed(name, str) if self.has(name) else default
        if value not in allowed:
            values = ", ".join(allowed)
            constraint = f"Member must satisfy enum value set: [{values}]"
            raise validation_error(_member(name), constraint)
        return str(value)

    def blob(self, name: str, *, max_length: int) -> bytes:
        """Return required bytes, 1 to `max_length` of them."""
        try:
            value = base64.b64decode(self.text(name, max_length=max_length * 2), validate=True)
        except (binascii.Error, ValueError):
            raise AwsError("SerializationException") from None
        if len(value) > max_length:
            raise _length_error(name, f"less than or equal to {max_length}")
        return value

    def number(self, name: str, *, low: int, high: int, default: int) -> int:
        """Return a number from `low` to `high`."""
        value = self._typed(name, int) if self.has(name) else default
        if value < low:
            constraint = f"Member must have value greater than or equal to {low}"
            raise validation_error(_member(name), constraint)
        if value > high:
            constraint = f"Member must have value less than or equal to {high}"
            raise validation_error(_member(name), constraint)
        return int(value)

    def flag(self, name: str) -> bool:
        """Return a truth value, false when it was not sent."""
        return bool(self._typed(name, bool)) if self.has(name) else False

    def text_list(self, name: str) -> list[str]:
        """Return a list of strings, empty when it was not sent."""
        values = self._typed(name, list) if self.has(name) else []
        if not all(isinstance(v, str) for v in values):
            raise AwsError("SerializationException")
        return list(values)

    def text_map(self, name: str) -> dict[str, str]:
        """Return a map of strings, empty when it was not sent."""
        values = self._typed(name, dict) if self.has(name) else {}
        if not all(isinstance(v, str) for v in values.values()):
            raise AwsError("SerializationException")
        return dict(values)

    def _typed(self, name: str, kind: type) -> Any:
        value = self._values[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise AwsError("SerializationException")
        return value


def _member(name: str) -> str:
    return name[0].lower() + name[1:]


def _length_error(name: str, bound: str) -> AwsError:
    return validation_error(_member(name), f"Member must have length {bound}")


def page(arguments: Arguments, member: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one page of the entries.

    Raises:
        AwsError: InvalidMarkerException for a marker that no page gave.
    """
    limit = arguments.number("Limit", low=1, high=1000, default=100)
    marker = arguments.optional_text("Marker") or "0"
    if not marker.isdigit() or int(marker) > len(entries):
        raise AwsError("InvalidMarkerException", "Could not deserialize marker")
    end = int(marker) + limit
    reply: dict[str, Any] = {member: entries[int(marker) : end], "Truncated": end < len(entries)}
    if end < len(entries):
        reply["NextMarker"] = str(end)
    return reply
