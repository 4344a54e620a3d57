"""Where the PIN of a token or a TPM comes from; it is read when it is needed, and not kept."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable

from ..contract.settings import Option, Settings
from ..errors import AuthenticationError, SettingsError
from ..named_tuple import NamedTuple
from .file_access import ANY, PRIVATE, refuse_exposed, unreadable

NEVER = "never"
WHEN_INTERACTIVE = "when-interactive"

# PKCS #11 and TPMs bound a PIN; the longest known are passwords of some hundred characters.
MAX_PIN_BYTES = 4096

_OPT_OUT = "set the option 'pin_file_permissions' to 'any'"
_GIVE_IT = "set one of the options 'pin', 'pin_file' and 'pin_fd'"


def pin_options(place: str) -> list[Option]:
    """Return the options by which every plugin that needs a PIN is given it."""
    return [
        Option("pin", f"PIN of the {place}, or a function that returns it.", secret=True),
        Option("pin_file", "File with the PIN, which other users cannot read."),
        Option(
            "pin_file_permissions",
            "Accept the PIN file only if it is private, or with any owner and mode.",
            default=PRIVATE,
            choices=(PRIVATE, ANY),
        ),
        Option("pin_fd", "Number of an open file descriptor to read the PIN from.", kind=int),
        Option(
            "prompt",
            "Whether to ask at the terminal for a PIN that is not set.",
            default=WHEN_INTERACTIVE,
            choices=(NEVER, WHEN_INTERACTIVE),
        ),
    ]


class PinSource(NamedTuple):
    """Read the PIN in the one way that the settings give.

    Attributes:
        is_given: Whether the settings say where it is.
        is_repeatable: Whether reading it again gives it again, without asking anybody.
        may_ask: Whether a person may be asked for it.
        reader: Reads it; None where the settings do not say where it is.
    """

    is_given: bool
    is_repeatable: bool
    may_ask: bool
    reader: Callable[[], str] | None

    @classmethod
    def from_settings(cls, settings: Settings) -> PinSource:
        """Return the source that the settings describe; reads nothing yet.

        Raises:
            SettingsError: More than one is given.
        """
        given = [name for name in ("pin", "pin_file", "pin_fd") if settings.given(name)]
        if len(given) > 1:
            places = " and ".join(f"{name!r} (from {settings.source(name)})" for name in given)
            raise SettingsError(f"the PIN is set more than once: {places}", hint=_GIVE_IT)
        may_ask = not given and settings.text("prompt") == WHEN_INTERACTIVE
        if given == ["pin"]:
            return cls(True, True, False, lambda: settings.required_text("pin"))
        if given == ["pin_file"]:
            path = settings.required_text("pin_file")
            anyone = settings.text("pin_file_permissions") == ANY
            return cls(True, True, False, lambda: _read_file(path, any_owner_and_mode=anyone))
        if given == ["pin_fd"]:
            descriptor = int(settings.number("pin_fd"))
            return cls(True, False, False, lambda: _read_descriptor(descriptor))
        return cls(False, False, may_ask, None)

    def read(self, place: str, *, hint: str = "") -> str:
        """Return the PIN, without the line end that a file or a shell leaves behind it.

        Args:
            place: What has the PIN, as it stands in a message: ``token 'ksm'``.
            hint: What to do about a PIN that is not set, besides setting it.

        Raises:
            SettingsError: No PIN was given and there is no terminal to ask on, or the PIN cannot
                be a token's.
            AuthenticationError: The descriptor has no PIN, or was read before.
            PermissionDeniedError: The file cannot be read, or others could read it.
        """
        if self.reader is not None:
            pin = self.reader().rstrip("\r\n")
        elif self.may_ask and _is_interactive():
            pin = _asked(place)
        else:
            raise SettingsError(
                f"the {place} requires a PIN, and none is set", hint=_GIVE_IT + hint
            )
        # A token would count each of these as a wrong PIN, of which it forgives few.
        if not pin:
            raise SettingsError("the PIN is empty", hint=_GIVE_IT)
        if "\n" in pin or "\r" in pin:
            raise SettingsError("the PIN has more than one line", hint="give the PIN alone")
        if "\0" in pin or len(pin.encode("utf-8", "surrogatepass")) > MAX_PIN_BYTES:
            raise SettingsError(
                f"the PIN has a NUL or more than {MAX_PIN_BYTES} bytes", hint=_GIVE_IT
            )
        return pin


class RefusedPins:
    """Remember, as keyed hashes, which PINs were refused: tokens lock after a few wrong ones."""

    def __init__(self) -> None:
        # PINs are short, so a hash without a key would give them away in a memory dump.
        self._key = os.urandom(32)
        self._refused: set[bytes] = set()

    def mark_of(self, pin: str, *places: str) -> bytes:
        """Return the keyed hash of a PIN at a token, which its places name."""
        parts = [each.encode("utf-8", "surrogatepass") for each in (*places, pin)]
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        # Of the library that opens envelopes: hashlib would load OpenSSL a second time, for 2 ms.
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.hmac import HMAC

        mark = HMAC(self._key, SHA256())
        mark.update(text)
        return mark.finalize()

    def add(self, mark: bytes) -> None:
        """Remember a refusal for as long as the process lives."""
        self._refused.add(mark)

    def check(self, mark: bytes, place: str) -> None:
        """Refuse a PIN that was rejected before.

        Args:
            mark: Its keyed hash.
            place: Who rejected it, as it stands in a message: ``the token 'ksm'``.

        Raises:
            AuthenticationError: It was; the token is not called.
        """
        if mark in self._refused:
            raise AuthenticationError(
                f"{place} rejected this PIN before, and it is not tried again",
                hint="correct the PIN and restart the program; tokens lock after a few wrong PINs",
            )


def _read_file(path: str, *, any_owner_and_mode: bool) -> str:
    from ..contract.redaction import shown_path

    try:
        # Without O_NONBLOCK a FIFO at this path would hang the process.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SettingsError(
            f"PIN file not found: {shown_path(path)}", hint="check the setting 'pin_file'"
        ) from exc
    except OSError as exc:
        raise unreadable(path, exc, what="PIN file") from exc
    except ValueError as exc:
        raise SettingsError(
            f"not a valid file name: {shown_path(path)}", hint="check the setting 'pin_file'"
        ) from exc
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SettingsError(
                f"the PIN file {shown_path(path)} is not a regular file",
                hint="check the setting 'pin_file'; a pipe goes into 'pin_fd'",
            )
        if not any_owner_and_mode:
            refuse_exposed(
                descriptor, what="PIN file", path=path, cure="change the PIN", opt_out=_OPT_OUT
            )
        raw = os.read(descriptor, MAX_PIN_BYTES + 2)
    finally:
        os.close(descriptor)
    return _decoded(raw, f"the PIN file {shown_path(path)}")


def _read_descriptor(descriptor: int) -> str:
    raw = b""
    try:
        while len(raw) <= MAX_PIN_BYTES and (more := os.read(descriptor, MAX_PIN_BYTES)):
            raw += more
    except (OSError, OverflowError) as exc:
        raise SettingsError(
            "cannot read the file descriptor of the setting 'pin_fd'",
            hint="it must be open for reading in this process, as in: ksm-storage ... 3< FILE",
        ) from exc
    if not raw:
        raise AuthenticationError(
            "the file descriptor of the setting 'pin_fd' is empty, or was read before",
            hint="a pipe gives the PIN once; to log in again without a restart use 'pin_file'",
        )
    return _decoded(raw, "the content of the file descriptor of the setting 'pin_fd'")


def _decoded(raw: bytes, what: str) -> str:
    try:
        # Some editors begin a file with a byte order mark, which does not belong to the PIN.
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    # Outside the except block on purpose: the exception holds the PIN.
    raise SettingsError(f"{what} is not UTF-8", hint=_GIVE_IT)


def _asked(place: str) -> str:
    import getpass

    try:
        return getpass.getpass(f"PIN of the {place}: ")
    except EOFError as exc:
        raise SettingsError("no PIN was entered", hint=_GIVE_IT) from exc


def _is_interactive() -> bool:
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # None under pythonw; closed
        return False
