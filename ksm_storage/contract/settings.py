"""Options that a plugin declares, and the settings a caller gives for them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from ..errors import SettingsError
from ..named_tuple import NamedTuple

SettingValue = str | int | float | bool | Callable[[], str]

MAX_SECONDS = 2_000_000.0
# What ``openssl rehash`` makes, and a certificate in PEM form.
_HASHED = r"[0-9a-f]{8}\.[0-9]+"
_CERTIFICATE = rb"(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----"
_FEW_CERTIFICATES = 10
_PEM_HINT = (
    "check it: openssl x509 -noout -text -in FILE; convert DER: openssl x509 -inform der "
    "-in FILE -out NEW"
)


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
            SettingsError: As :func:`validate_authorities` does.
        """
        path = self.text(name)
        if path is not None:
            validate_authorities(path, named=f"the setting {name!r}")
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


class CredentialKind(NamedTuple):
    """Say which options one kind of credential needs, and which others it may take."""

    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def credential_kind(
    settings: Settings, kinds: Mapping[str, CredentialKind], *, hint: str | None = None
) -> str:
    """Return the kind that the option ``credential`` chooses, with its options checked.

    Raises:
        SettingsError: An option that the kind needs is missing, or one of another kind is given:
            ignoring it would hide that the wrong kind was chosen.
    """
    kind = settings.required_text("credential")
    needed, optional = kinds[kind]
    for name in needed:
        if not settings.given(name):
            raise SettingsError(
                f"the setting {name!r} is missing for credential {kind!r}", hint=hint
            )
    for name in dict.fromkeys(name for each in kinds.values() for name in (*each[0], *each[1])):
        if settings.given(name) and name not in needed + optional:
            raise SettingsError(
                f"the setting {name!r} does not belong to credential {kind!r}",
                hint="check the option 'credential'",
            )
    return kind


def validate_authorities(path: str, *, named: str) -> None:
    """Refuse a file without a valid PEM certificate, and a folder without one under its hash.

    The clients of the key services would find out in the middle of a call, and take it for a
    network that is down; one of them takes an empty file for all public authorities.

    Args:
        path: The file or folder.
        named: What the message calls its source, as in ``the setting 'ca_file'``.

    Raises:
        SettingsError: It is such a file or folder, is missing, or cannot be read.
    """
    kind = "folder" if os.path.isdir(path) else "file"
    problem, hint = "cannot be read", "check the path and its permissions"
    try:
        if kind == "folder" and not any(re.fullmatch(_HASHED, name) for name in os.listdir(path)):
            problem = "has no PEM certificate under its hash"
            hint = "put the PEM files there and run: openssl rehash FOLDER"
        elif kind == "folder" or _is_bundle(path):
            return
        elif _begins_well(path):
            problem = (
                "has a damaged PEM certificate, or one that does not begin on a line of its own"
            )
            hint = "write each BEGIN and END on a line of its own, and check the one added last"
        else:
            problem, hint = "has no valid PEM certificate", _PEM_HINT
    # ValueError: a path with a zero byte.
    except (OSError, ValueError) as exc:
        if isinstance(exc, FileNotFoundError):
            problem, hint = "does not exist", "give the path of a PEM file or of one folder"
    # A text of several lines is a certificate that was given in the place of its file.
    shown = f" {path!r}" if path.isprintable() else ""
    raise SettingsError(f"the {kind}{shown} of {named} {problem}", hint=hint)


def _is_bundle(path: str) -> bool:
    with open(path, "rb") as file:
        text = file.read()
    found = re.findall(_CERTIFICATE, text)
    if len(found) <= _FEW_CERTIFICATES:
        return _loads(cafile=path)
    # The ends tell, where people add theirs: a bundle of the system takes longer than a request.
    is_whole = len(found) == text.count(b"-----BEGIN CERT") and b"----------BEGIN" not in text
    return is_whole and _loads(cadata=(found[0] + b"\n" + found[-1]).decode("ascii", "replace"))


def _begins_well(path: str) -> bool:
    with open(path, "rb") as file:
        first = re.search(_CERTIFICATE, file.read())
    return first is not None and _loads(cadata=first[0].decode("ascii", "replace"))


def _loads(*, cafile: str | None = None, cadata: str | None = None) -> bool:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile, cadata=cadata)
    except ssl.SSLError:
        return False
    return True


def certificates_of(folder: str) -> bytes:
    """Return the certificates of a folder as PEM; raise SettingsError if it has none."""
    from pathlib import Path

    try:
        files = {each.resolve() for each in Path(folder).iterdir() if each.is_file()}
        # The mark that some editors put first hides a certificate from some libraries.
        texts = [each.read_bytes().removeprefix(b"\xef\xbb\xbf") for each in sorted(files)]
    except OSError as exc:
        raise SettingsError(
            f"cannot read the folder of certificate authorities {folder!r}: {exc.strerror}",
            hint="check its path and its permissions",
        ) from exc
    found = b"\n".join(text for text in texts if b"-----BEGIN CERTIFICATE-----" in text)
    if not found:
        raise SettingsError(
            f"the folder of certificate authorities {folder!r} has no PEM certificate",
            hint="put the PEM files there and run: openssl rehash FOLDER",
        )
    return found


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
        choices = {each.lower().replace("_", "-"): each for each in option.choices}
        close = get_close_matches(written, choices, n=1)
        raise SettingsError(
            f"the setting {option.name!r} from {source} must be one of "
            f"{', '.join(option.choices)}{shown}",
            hint=f"did you mean {choices[close[0]]!r}?" if close else "write one of these",
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
    # Nobody means "nan" seconds, and a time-out that is not a number never expires. "nan" compares
    # as False; a whole number may be larger than any float.
    return not isinstance(value, (int, float)) or abs(value) <= sys.float_info.max


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
