"""The name of a KEK: ``provider://key-id``, as in ``aws-kms://arn:aws:kms:...``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import SettingsError

MAX_KEY_ID = 2048
MAX_PROVIDER = 64

# Recovery words, a configuration, a one-time token. Compiled for a mistake only.
_NOT_REPEATED = r"[^!-~]|[{\"]|[A-Za-z0-9+_=-]{40}"
_PROVIDER = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def is_visible_ascii(text: object, *, max_length: int) -> bool:
    """Tell whether this is a string of 1 to ``max_length`` characters of ``21`` to ``7E``."""
    return (
        isinstance(text, str)
        and 1 <= len(text) <= max_length
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def refuse_pin(text: str) -> None:
    """Refuse the name of a key that holds a PIN, as RFC 7512 allows and other programs want it.

    Raises:
        SettingsError: It holds one; the text is not repeated, as messages do with names of keys.
    """
    if "pin-value=" in text.lower():
        raise SettingsError(
            "a key URI must not contain a PIN",
            hint="leave 'pin-value' out, change that PIN if others could see it, and give it as a "
            "setting of the plugin, such as 'pin_file'",
        )


@dataclass(frozen=True, slots=True)
class KeyUri:
    """Name one KEK of one provider.

    Attributes:
        provider: Lower-case letters, digits and single hyphens; the plugin's entry-point name.
        key_id: What the provider calls the key: 1 to 2048 visible ASCII characters. What does
            not fit (a path with a space) is percent-encoded by the plugin.

    Raises:
        SettingsError: A part is empty, too long, or holds a character that is not allowed.
    """

    provider: str
    key_id: str

    def __post_init__(self) -> None:
        if len(self.provider) > MAX_PROVIDER or not _PROVIDER.fullmatch(self.provider):
            from .redaction import is_plain_word

            shown = repr(self.provider) if is_plain_word(self.provider) else "(not shown)"
            raise SettingsError(
                f"{shown} is not a provider's name",
                hint="write provider://key-id; 'ksm-storage providers' lists the providers",
            )
        if not is_visible_ascii(self.key_id, max_length=MAX_KEY_ID):
            raise SettingsError(
                f"the key id of a {self.provider} key is empty, longer than {MAX_KEY_ID} "
                "characters, or holds a space or a character that is not ASCII",
                hint="percent-encode such characters, as in key-file:///my%20keys/app.key",
            )

    @classmethod
    def parse(cls, text: str) -> KeyUri:
        """Read ``provider://key-id``.

        Raises:
            SettingsError: The text has no such form; what may be a secret is not repeated.
        """
        provider, separator, key_id = text.partition("://")
        if not separator:
            from .redaction import may_be_secret

            hidden = re.search(_NOT_REPEATED, text) or may_be_secret(text)
            shown = None if hidden else text
            raise SettingsError(
                f"not a valid key URI{'' if shown is None else f': {shown!r}'}",
                hint="write provider://key-id, for instance key-file:///etc/ksm/app.key",
                key=shown,
            )
        return cls(provider, key_id)

    def __str__(self) -> str:
        return f"{self.provider}://{self.key_id}"
