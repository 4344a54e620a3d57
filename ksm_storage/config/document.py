"""The content of an envelope's payload: one configuration, or the profiles of a keeper.ini."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..errors import SettingsError
from .json_form import InvalidConfigError, parse_object, refuse_surrogates, string_map

# The profile of a document that is one plain configuration; no profile can have this name.
UNNAMED = ""

ACTIVE_PROFILE = "active_profile"


_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class Document(NamedTuple):
    """Hold the configurations of one file.

    Attributes:
        profiles: Each profile's name and configuration; a plain configuration stands alone
            under :data:`UNNAMED`.
        settings: The section ``_config`` of ``keeper.ini``.
    """

    profiles: Mapping[str, Mapping[str, str]]
    settings: Mapping[str, str] = _NO_SETTINGS

    def __repr__(self) -> str:
        # The names only: the values are what this package keeps secret.
        return f"<Document: profiles {', '.join(map(repr, self.profiles))}>"

    @classmethod
    def single(cls, config: Mapping[str, str]) -> Document:
        """Return the document of one plain configuration."""
        return cls({UNNAMED: dict(config)})

    @property
    def is_single(self) -> bool:
        """Whether this is one plain configuration without profiles."""
        return UNNAMED in self.profiles

    def chosen(self, profile: str | None) -> str:
        """Return the name of the profile to use: the one requested, the active one or the only one.

        Raises:
            SettingsError: The profile does not exist, or there are several and none is active.
        """
        names = [name for name in self.profiles if name != UNNAMED]
        wanted = profile or self.settings.get(ACTIVE_PROFILE)
        if self.is_single and not profile:
            return UNNAMED
        if wanted is None and len(names) == 1:
            return names[0]
        if wanted is None or wanted not in names:
            what = "no profile is active" if wanted is None else f"profile {wanted!r} not found"
            raise SettingsError(what, hint=f"available profiles: {', '.join(names) or 'none'}")
        return wanted

    def with_config(self, profile: str, config: Mapping[str, str]) -> Document:
        """Return the document with another configuration in one profile."""
        return self._replace(profiles={**self.profiles, profile: dict(config)})


def read_payload(payload: bytes) -> Document:
    """Parse the payload of an envelope.

    Raises:
        InvalidConfigError: It is not JSON as written by :func:`write_payload`.
    """
    content = parse_object(payload)
    profiles = content.get("profiles")
    if not isinstance(profiles, dict):
        return Document.single(string_map(content))
    settings = content.get("settings", {})
    if set(content) - {"profiles", "settings"} or not isinstance(settings, dict):
        raise InvalidConfigError("has members other than profiles and settings")
    if UNNAMED in profiles:
        # It would be taken for a plain configuration, and the other profiles would be lost.
        raise InvalidConfigError("has a profile without a name")
    refuse_surrogates(*profiles)
    return Document(
        {name: string_map(config) for name, config in profiles.items()}, string_map(settings)
    )


def write_payload(document: Document) -> bytes:
    """Return the payload for a document: JSON, names sorted, UTF-8."""
    content: object = (
        document.profiles[UNNAMED]
        if document.is_single
        else {
            "profiles": {name: dict(config) for name, config in document.profiles.items()},
            "settings": dict(document.settings),
        }
    )
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode("utf-8")
