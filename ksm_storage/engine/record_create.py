"""A new record's content, made field by field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import SettingsError


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
        self.label = label
        self.required = required
        self.enforceGeneration = enforceGeneration
        self.privacyScreen = privacyScreen
        self.complexity = complexity

    def __repr__(self) -> str:
        return f"RecordField(type={self.type!r}, label={self.label!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the field as it is stored."""
        optional = {name: part for name, part in vars(self).items() if part}
        return {**optional, "type": self.type, "value": self.value}


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
        self.fields: Sequence[RecordField] | None = None
        self.custom: Sequence[RecordField] | None = None

    def __repr__(self) -> str:
        return f"RecordCreate(record_type={self.record_type!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the content as it is stored.

        Raises:
            SettingsError: A title or notes that are no text, or a field without type or list.
        """
        if not isinstance(self.title, str) or not isinstance(self.notes, (str, type(None))):
            raise SettingsError("the title and the notes of a record are text")
        content: dict[str, Any] = {
            "type": self.record_type,
            "title": self.title,
            "fields": [_checked(field) for field in self.fields or ()],
        }
        if self.notes:
            content["notes"] = self.notes
        if self.custom is not None:
            content["custom"] = [_checked(field) for field in self.custom]
        return content

    def to_json(self) -> str:
        """Return the content as JSON."""
        return json.dumps(self.to_dict())


def _checked(field: RecordField) -> dict[str, Any]:
    if not field.type or not isinstance(field.value, list):
        raise SettingsError(f"the field {field.type!r} needs a type and a list of values")
    return field.to_dict()
