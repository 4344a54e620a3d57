"""A settings source for pydantic-settings: fields that name a secret by ``keeper://`` notation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from ..engine import SecretsManager
from ..engine.notation_lookup import NotationLookup, OneRequest, named_uids
from ..engine.transport import run
from ..errors import SettingsError
from ..storage.sources import open_storage


@dataclass(frozen=True, slots=True)
class Keeper:
    """Mark a field: ``Annotated[SecretStr, Keeper("keeper://UID/field/password")]``."""

    notation: str


class KeeperSettingsSource(PydanticBaseSettingsSource):
    """Read the marked fields of a settings class from the vault, with one request for all.

    Fields that a source of higher priority has set are not asked for; if none is left, the
    configuration is not opened either.

    Args:
        settings_cls: The class whose fields are read.
        config: A sealed configuration; by default the one that ``open_storage`` finds.
        references: The notation for each further field, by the field's name.
        manager: The client to ask in the place of one over ``config``.

    Raises:
        SettingsError: The class does not set ``hide_input_in_errors``, or lacks a field that is
            mapped.
        KsmStorageError: From the settings class: the configuration does not open, the server
            refuses, or a reference selects nothing.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        config: str | os.PathLike[str] | None = None,
        *,
        references: Mapping[str, str] | None = None,
        manager: SecretsManager | None = None,
    ) -> None:
        super().__init__(settings_cls)
        # What a source returns is validated by pydantic, whose errors quote a value that does not
        # fit; a source cannot change that, and logs must not hold the secret.
        if not settings_cls.model_config.get("hide_input_in_errors"):
            raise SettingsError(
                f"validation errors of {settings_cls.__name__} would show secrets",
                hint="give it model_config = SettingsConfigDict(hide_input_in_errors=True)",
            )
        self._config = config
        self._manager = manager
        self._notations = dict(_marked(settings_cls)) | dict(references or {})
        unknown = sorted(self._notations.keys() - settings_cls.model_fields.keys())
        if unknown:
            raise SettingsError(
                f"{settings_cls.__name__} has no field {unknown[0]!r}",
                hint="the keys of references= must be field names",
            )

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one field, its key, and False: it must not be parsed as JSON."""
        notation = self._notations.get(field_name)
        found = self._resolve({field_name: notation}) if notation else {}
        return found.get(field_name), _key(field, field_name), False

    def __call__(self) -> dict[str, Any]:
        """Return the values of the marked fields that no source before has set."""
        fields = self.settings_cls.model_fields
        wanted = {
            name: notation
            for name, notation in self._notations.items()
            if not _keys(fields[name], name) & self.current_state.keys()
        }
        found = self._resolve(wanted) if wanted else {}
        return {_key(fields[name], name): value for name, value in found.items()}

    def _resolve(self, notations: Mapping[str, str]) -> dict[str, Any]:
        manager = self._manager or SecretsManager(config=open_storage(self._config))
        lookup = NotationLookup(OneRequest(manager, named_uids(notations.values())).fetch)
        return {name: run(lookup.single(notation)) for name, notation in notations.items()}


def _marked(settings_cls: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    for name, field in settings_cls.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Keeper):
                yield name, mark.notation


def _key(field: FieldInfo, name: str) -> str:
    """Return the key under which pydantic takes the field's value."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    return alias if isinstance(alias, str) else name


def _keys(field: FieldInfo, name: str) -> set[str]:
    return {name, _key(field, name)}
