"""Where the PIN of a token comes from; it is read when the token asks for it, and not kept."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from typing import NamedTuple

from ksm_storage.plugin import (
    AuthenticationError,
    PermissionDeniedError,
    Settings,
    SettingsError,
    shown_path,
)

NEVER = "never"
WHEN_INTERACTIVE = "when-interactive"

# CK_TOKEN_INFO bounds a PIN; the longest known are passwords of some hundred characters.
MAX_PIN_BYTES = 4096

_WAYS = ("pin", "pin_file", "pin_fd")
_GIVE_IT = "set one of the options 'pin', 'pin_file' and 'pin_fd'"


class PinSource(NamedTuple):
    """Read the PIN in the one way that the settings give.

    Attributes:
        is_given: Whether the settings say where it is.
        is_repeatable: Whether reading it again gives it again, without asking anybody.
        may_ask: Whether a person may be asked for it.
        reader: Reads it.
    """

    is_given: bool
    is_repeatable: bool
    may_ask: bool
    reader: Callable[[], str]

    @classmethod
    def from_settings(cls, settings: Settings) -> PinSource:
        """Return the source that the settings describe; reads nothing yet.

        Raises:
            SettingsError: More than one is given, or a descriptor cannot be one.
        """
        given = [name for name in _WAYS if settings.given(name)]
        if len(given) > 1:
            places = " and ".join(f"{name!r} (from {settings.source(name)})" for name in given)
            raise SettingsError(f"the PIN is given more than once: {places}", hint=_GIVE_IT)
        may_ask = not given and settings.text("prompt") == WHEN_INTERACTIVE
        if given == ["pin"]:
            return cls(True, True, False, lambda: settings.required_text("pin"))
        if given == ["pin_file"]:
            path = settings.required_text("pin_file")
            return cls(True, True, False, lambda: read_pin_file(path))
        if given == ["pin_fd"]:
            descriptor = int(settings.number("pin_fd"))
            return cls(True, False, False, lambda: _read_descriptor(descriptor))
        return cls(False, False, may_ask, _no_pin)

    def read(self, token: str) -> str:
        """Return the PIN of a token, asking for it where nothing else is given.

        Raises:
            SettingsError: There is none, and nobody to ask.
            AuthenticationError: A descriptor had none, or no longer.
            PermissionDeniedError: The file cannot be read, or others could read it.
        """
        if not self.is_given and self.may_ask and _is_interactive():
            pin = _asked(token)
        else:
            pin = self.reader()
        if not pin or len(pin.encode("utf-8", "surrogatepass")) > MAX_PIN_BYTES or "\0" in pin:
            raise SettingsError("the PIN is empty or no PIN that a token can have", hint=_GIVE_IT)
        if "\n" in pin or "\r" in pin:
            # The token would count it as a wrong one, of which it forgives few.
            raise SettingsError("the PIN has more than one line", hint="give the PIN alone")
        return pin


def _asked(token: str) -> str:
    import getpass

    try:
        return getpass.getpass(f"PIN of the token {token!r}: ")
    except EOFError as exc:
        raise SettingsError("no PIN was typed", hint=_GIVE_IT) from exc


def read_pin_file(path: str) -> str:
    """Return the text of a file that nobody but its owner can read, without the end of its line.

    Raises:
        SettingsError: There is no such file, or it is no regular file of UTF-8.
        PermissionDeniedError: It cannot be read, belongs to somebody else, or others can read it.
    """
    try:
        # Without O_NONBLOCK a FIFO at this path would hang the process.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SettingsError(f"the PIN file {shown_path(path)} does not exist") from exc
    except (OSError, ValueError) as exc:
        raise PermissionDeniedError(f"cannot read the PIN file {shown_path(path)}") from exc
    try:
        _refuse_unsafe(path, os.fstat(descriptor))
        raw = os.read(descriptor, MAX_PIN_BYTES + 2)
    finally:
        os.close(descriptor)
    return _decoded(raw, f"the PIN file {shown_path(path)}")


def _refuse_unsafe(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"the PIN file {shown_path(path)} is not a regular file")
    if os.name != "posix":
        return
    if status.st_uid not in (0, os.geteuid()):
        raise PermissionDeniedError(f"the PIN file {shown_path(path)} belongs to another user")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PermissionDeniedError(
            f"the PIN file {shown_path(path)} can be read by others",
            hint="chmod 600 it, and change the PIN if somebody may have read it",
        )


def _read_descriptor(descriptor: int) -> str:
    raw = b""
    try:
        while len(raw) <= MAX_PIN_BYTES and (more := os.read(descriptor, MAX_PIN_BYTES)):
            raw += more
    except (OSError, OverflowError) as exc:
        raise SettingsError("the descriptor that 'pin_fd' names cannot be read") from exc
    if not raw:
        raise AuthenticationError(
            "the descriptor that 'pin_fd' names holds no PIN, or no longer",
            hint="a pipe gives the PIN once; to log in again without a new start use 'pin_file'",
        )
    return _decoded(raw, "what the descriptor gives that 'pin_fd' names")


def _decoded(raw: bytes, what: str) -> str:
    try:
        # Some editors begin a file with a mark of its encoding, which is no part of a PIN.
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        pass
    # Outside the except block on purpose: the exception holds the PIN.
    raise SettingsError(f"{what} is no UTF-8")


def _no_pin() -> str:
    raise SettingsError(
        "the token asks for a PIN, and none is given",
        hint=f"{_GIVE_IT}; for a slot without login set 'login' to none",
    )


def _is_interactive() -> bool:
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # None under pythonw; closed
        return False
