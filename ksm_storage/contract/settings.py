"""Options that a plugin declares, and the settings a caller gives for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, NoReturn

from ..errors import SettingsError

SettingValue = str | int | float | bool | Callable[[], str]

MAX_SECONDS = 2_000_000.0


class Option(NamedTuple):
    """Declare one option of a plugin.

    Attributes:
        name: Lower-case words joined by underscores, unique in the plugin.
        help: What it does, one sentence for the documentation.
        kind: The type of its value: ``str``, ``int``, ``float`` or ``bool``.
        default: The value where none is given; None means "none".
        secret: Never shown, and refused on a command line. A callable that returns the secret
            may be given in place of the value; it is called when the secret is needed.
        choices: The only values allowed, where they can be listed.
    """

    name: str
    help: str
    kind: type[str] | type[int] | type[float] | type[bool] = str
    default: SettingValue | None = None
    secret: bool = False
    choices: tuple[str, ...] = ()


class Setting(NamedTuple):
    """Hold one value with the place it came from (``argument``, ``environment NAME``, ...)."""

    value: SettingValue | None
    source: str

    def __repr__(self) -> str:
        # Never the value: it may be a PIN.
        return f"<Setting from {self.source}>"


class Settings:
    """Hold the checked settings of one plugin; reads like a mapping of option names.

    Every declared option has an entry. ``repr`` shows names and sources, no values.
    """

    __slots__ = ("_entries", "_options")

    def __init__(self, options: Mapping[str, Option], entries: Mapping[str, Setting]) -> None:
        self._options = dict(options)
        self._entries = dict(entries)

    def text(self, name: str) -> str | None:
        """Return a setting of kind ``str``, or None if it is not set.

        Raises:
            SettingsError: The callable given for a secret failed or did not return a string.
        """
        value = self._entries[name].value
        if callable(value):
            return _called(value, name)
        return None if value is None else str(value)

    def required_text(self, name: str, *, hint: str | None = None) -> str:
        """Return a setting of kind ``str`` that must be given.

        Raises:
            SettingsError: It is not set.
        """
        value = self.text(name)
        if value is None:
            raise SettingsError(f"the setting {name!r} is missing", hint=hint)
        return value

    def number(self, name: str) -> float:
        """Return a setting of kind ``int`` or ``float``; its option must have a default."""
        value = self._entries[name].value
        if isinstance(value, (int, float)):
            return float(value)
        raise SettingsError(f"the setting {name!r} is not a number")

    def seconds(self, name: str) -> float:
        """Return a setting that is a time in seconds, 23 days at most; it must have a default.

        Raises:
            SettingsError: It is not above 0.
        """
        value = self.number(name)
        # That it is finite was seen when it was given.
        if value <= 0:
            raise SettingsError(f"the setting {name!r} must be a number of seconds above 0")
        # A socket waits for 2**31 milliseconds and refuses to wait longer. Nobody notices.
        return min(value, MAX_SECONDS)

    def file(self, name: str) -> str | None:
        """Return a setting that is the path of a file, or None if it is not set.

        Raises:
            SettingsError: The file does not exist.
        """
        path = self.text(name)
        if path is not None and not os.path.isfile(path):
            from .redaction import shown_path

            raise SettingsError(
                f"the file {shown_path(path)} of the setting {name!r} does not exist",
                hint="give the path of a regular file",
            )
        return path

    def authorities(self, name: str) -> str | None:
        """Return a setting that is a PEM file or a folder of authorities for TLS, or None.

        Raises:
            SettingsError: It does not exist, or the file has no usable certificate.
        """
        path = self.text(name)
        if path is None or os.path.isdir(path):
            return path
        path = self.file(name)
        if path is not None:
            validate_ca_bundle(path, setting=name)
        return path

    def flag(self, name: str) -> bool:
        """Return a setting of kind ``bool``; absent means False."""
        return self._entries[name].value is True

    def shown(self, name: str) -> str:
        """Return a setting as a person may see it: of what may be a secret, that there is one."""
        from .redaction import shown_value

        # A function that asks for a PIN must not be called for this.
        if self._options[name].secret:
            return "(hidden)"
        return shown_value(name, self._entries[name].value)

    def source(self, name: str) -> str:
        """Return where the setting came from: argument, environment, settings file or default."""
        return self._entries[name].source

    def given(self, name: str) -> bool:
        """Tell whether the setting was given and is not merely the default."""
        return self._entries[name].source != "default"

    def option(self, name: str) -> Option:
        """Return the declaration of an option."""
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("settings cannot be pickled or copied: a pickle would hold their secrets")

    def __repr__(self) -> str:
        sources = ", ".join(f"{name} from {entry.source}" for name, entry in self._entries.items())
        return f"<Settings: {sources or 'none'}>"


def validate_ca_bundle(path: str, *, setting: str) -> None:
    """Refuse a file that has no valid PEM certificate.

    The clients of the key services would find out in the middle of a call, and take it for a
    network that is down; one of them takes an empty file for all public authorities.

    Raises:
        SettingsError: It is such a file, or cannot be read.
    """
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise SettingsError(
            f"the file {path!r} of the setting {setting!r} has no valid PEM certificate",
            hint="check it: openssl x509 -noout -text -in FILE; convert DER: openssl x509 "
            "-inform der -in FILE -out NEW",
        ) from exc
    except OSError as exc:
        raise SettingsError(
            f"cannot read the file {path!r} of the setting {setting!r}: {exc.strerror}",
            hint="check its path and its permissions",
        ) from exc


def checked(option: Option, value: object, *, source: str) -> Setting:
    """Convert and check one given value.

    Raises:
        SettingsError: The value has the wrong type or is not one of the choices. A secret's value
            is not shown.
    """
    if callable(value):
        if not option.secret:
            raise SettingsError(f"the setting {option.name!r} from {source} must not be a callable")
        return Setting(value, source)
    converted = _converted(option, value, source=source)
    if option.choices and converted not in option.choices:
        from difflib import get_close_matches

        from .redaction import shown_choice

        shown = "" if option.secret else shown_choice(converted)
        written = str(converted).strip().lower().replace("_", "-")
        close = get_close_matches(written, option.choices, n=1)
        raise SettingsError(
            f"the setting {option.name!r} from {source} must be one of "
            f"{', '.join(option.choices)}{shown}",
            hint=f"did you mean {close[0]!r}?" if close else "write one of these, in lower case",
        )
    return Setting(converted, source)


def _converted(option: Option, value: object, *, source: str) -> SettingValue:
    converted = _typed(option, value)
    if converted is None or not _is_countable(converted):
        raise SettingsError(
            f"the setting {option.name!r} from {source} must be of type {option.kind.__name__}"
        )
    return converted


def _is_countable(value: SettingValue) -> bool:
    # Nobody means "nan" seconds, and a time-out that is not a number never expires.
    import math

    try:
        return not isinstance(value, (int, float)) or math.isfinite(value)
    except OverflowError:  # A whole number with more than 308 digits.
        return False


def _typed(option: Option, value: object) -> SettingValue | None:
    if isinstance(value, option.kind) and not (option.kind is int and isinstance(value, bool)):
        return value
    if option.kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if _is_countable(value) else None
    if isinstance(value, str):
        if option.kind is bool and value.lower() in _BOOLEANS:
            return _BOOLEANS[value.lower()]
        if option.kind in (int, float):
            try:
                return float(value) if option.kind is float else int(value)
            except ValueError:
                return None
    return None


def _called(value: Callable[[], str], name: str) -> str:
    try:
        secret = value()
    # Whatever the caller's function raises ends here: its text may hold the secret.
    except Exception as exc:
        raise SettingsError(f"the function given for the setting {name!r} failed") from exc
    if not isinstance(secret, str):
        raise SettingsError(f"the function given for the setting {name!r} returned no string")
    return secret


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
