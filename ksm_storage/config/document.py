"""A configuration as JSON: the official SDK's two forms, and the payload of an envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from ..errors import SettingsError
from ..named_tuple import NamedTuple
from ..wire.json_objects import NotAnObjectError, parse_unique_object

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The profile of a document that is one plain configuration; no profile can have this name.
UNNAMED = ""

ACTIVE_PROFILE = "active_profile"

# What SOPS writes in the place of a value.
SOPS_VALUE = b"ENC[AES256_GCM,"

_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class InvalidConfigError(ValueError):
    """Say why a text is not a configuration; contains no part of the text.

    Attributes:
        hint: What to do instead, where there is better advice than the usual one.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


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
    content = read_object(payload)
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


def read_object(raw: bytes) -> dict[str, object]:
    """Parse a JSON object in UTF-8; a byte order mark is allowed.

    Raises:
        InvalidConfigError: It is not JSON, not UTF-8, not an object, or repeats a field.
    """
    text = decoded_text(raw)
    try:
        return parse_unique_object(text)
    except NotAnObjectError as exc:
        wrong = str(exc)
    raise InvalidConfigError(wrong)


def decoded_text(raw: bytes) -> str:
    """Decode UTF-8 text, without its byte order mark.

    Raises:
        InvalidConfigError: It is not UTF-8.
    """
    try:
        # Not "utf-8-sig", a module that each start would load for it.
        return raw.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as exc:
        position = exc.start
    raise InvalidConfigError(
        f"is not UTF-8 text (byte {position})", "save it as UTF-8, then run the command again"
    )


def string_map(content: object) -> dict[str, str]:
    """Return an object of strings.

    Raises:
        InvalidConfigError: A value is not a string; the message names its field only.
    """
    if not isinstance(content, dict):
        raise InvalidConfigError("is not a JSON object")
    for name, value in content.items():
        if not isinstance(value, str):
            raise InvalidConfigError(
                f"has a field {name!r} whose value is not a string",
                "write the value in double quotes, or remove the field",
            )
        refuse_surrogates(name, value)
    return content


def refuse_surrogates(*texts: str) -> None:
    """Refuse what JSON can escape and UTF-8 cannot encode.

    Raises:
        InvalidConfigError: A text has an unpaired surrogate.
    """
    try:
        for text in texts:
            text.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        return
    # Not in the except block: the exception keeps the text, which is secret.
    raise InvalidConfigError("has an unpaired surrogate")


def format_json(config: Mapping[str, str]) -> bytes:
    """Return the configuration as the official SDK writes ``client-config.json``."""
    return json.dumps(dict(config), indent=4, sort_keys=True).encode("ascii")


def format_base64(config: Mapping[str, str]) -> bytes:
    """Return the configuration as the official tools accept it in ``KSM_CONFIG``."""
    from base64 import b64encode

    return b64encode(format_json(config))


def decode_base64(raw: bytes) -> bytes | None:
    """Decode base64 text, or return None: either alphabet, with or without padding, wrapped."""
    from ..wire.base64_forms import from_base64

    try:
        return from_base64(b"".join(raw.split()).decode("ascii"))
    except ValueError:
        return None
