"""A new record's content, made field by field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import late_errors as errors
from .record_content import dict_of_field

# The server takes any type; a mistyped one would make a field that no client shows.
VALID_RECORD_FIELDS = [
    "accountNumber",
    "address",
    "addressRef",
    "appFiller",
    "bankAccount",
    "birthDate",
    "cardRef",
    "checkbox",
    "databaseType",
    "date",
    "directoryType",
    "dropdown",
    "email",
    "expirationDate",
    "fileRef",
    "host",
    "isSSIDHidden",
    "keyPair",
    "licenseNumber",
    "login",
    "multiline",
    "name",
    "note",
    "oneTimeCode",
    "otp",
    "pamHostname",
    "pamRemoteBrowserSettings",
    "pamResources",
    "pamSettings",
    "passkey",
    "password",
    "paymentCard",
    "phone",
    "pinCode",
    "rbiUrl",
    "recordRef",
    "schedule",
    "script",
    "secret",
    "securityQuestion",
    "text",
    "trafficEncryptionSeed",
    "url",
    "wifiEncryption",
]


class RecordField:
    """Hold one field of a new record; parts that are not given are left out."""

    def __init__(
        self,
        field_type: str | None = None,
        value: object = None,
        label: str | None = None,
        required: bool | None = None,
        enforceGeneration: bool | None = None,  # noqa: N803 - the official name
        privacyScreen: bool | None = None,  # noqa: N803 - the official name
        complexity: object = None,
    ) -> None:
        self.type = field_type
        self.value: Any = value if isinstance(value, list) else ([value] if value else [])
        optional = {
            "label": label,
            "required": required,
            "enforceGeneration": enforceGeneration,
            "privacyScreen": privacyScreen,
            "complexity": complexity,
        }
        self.__dict__.update({name: part for name, part in optional.items() if part})

    def __repr__(self) -> str:
        return f"RecordField(type={self.type!r}, label={getattr(self, 'label', None)!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the field as it is stored."""
        return dict(vars(self))


class RecordCreate:
    """Hold the content of a new record.

    Attributes:
        fields: Standard fields.
        custom: Custom fields.
        notes: Notes, or None.
    """

    def __init__(self, record_type: str, title: str) -> None:
        self.record_type = record_type
        self.title = title
        self.notes: str | None = None
        self.fields: Sequence[Any] | None = None
        self.custom: Sequence[Any] | None = None

    def __repr__(self) -> str:
        return f"RecordCreate(record_type={self.record_type!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the content as it is stored.

        Raises:
            ClientSettingsError: A title or notes that are not text, or a field without a known
                type or a list of values.
        """
        if not isinstance(self.title, str):
            raise errors.ClientSettingsError("Record title should be a string")
        if not isinstance(self.notes, (str, type(None))):
            raise errors.ClientSettingsError("Record notes should be a string")
        content: dict[str, Any] = {
            "type": self.record_type,
            "title": self.title,
            "fields": [_checked(field, VALID_RECORD_FIELDS) for field in self.fields or ()],
        }
        if self.notes:
            content["notes"] = self.notes
        # Always a list: other clients take a record without one for damaged.
        content["custom"] = [_checked(field, None) for field in self.custom or ()]
        return content

    def to_json(self) -> str:
        """Return the content as JSON."""
        return json.dumps(self.to_dict(), indent=4)


def _checked(given: Any, known: Sequence[str] | None) -> dict[str, Any]:
    field = dict(given) if isinstance(given, dict) else dict_of_field(given)
    kind = field.get("type")
    if not kind or (known is not None and kind not in known):
        raise errors.ClientSettingsError(
            f"Following field types are not allowed [{kind}]",
            hint=f"use one of {', '.join(VALID_RECORD_FIELDS)}",
        )
    if not isinstance(field.get("value"), list):
        raise errors.ClientSettingsError(f"the values of the field {kind!r} must be a list")
    return field
