"""The contract between the core and a plugin: key URIs, the AAD, a wrapped DEK, what wraps it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from typing import NoReturn, Protocol, runtime_checkable

from ..errors import DecryptionError, SettingsError
from ..named_tuple import NamedTuple

MAX_KEY_ID = 2048
MAX_PROVIDER = 64
DEK_BYTES = 32
MAX_WRAPPED_DEK = 8192
MAX_ALGORITHM = 64

# Recovery words, a configuration, a one-time token. Compiled for a mistake only.
_NOT_REPEATED = r"[^!-~]|[{\"]|[A-Za-z0-9+_=-]{40}"
# Before the host of a URL: with a colon under any provider, alone where a URL begins.
_USER_INFO = r"://[^/@\s:]*:[^/@\s]+@|https?://[^/?#\s]*@"
_PROVIDER_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def is_visible_ascii(text: object, *, max_length: int) -> bool:
    """Tell whether this is a string of 1 to ``max_length`` characters of ``21`` to ``7E``."""
    return (
        isinstance(text, str)
        and 1 <= len(text) <= max_length
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def refuse_credentials(text: str) -> None:
    """Refuse the name of a key that holds a PIN or a password.

    RFC 7512 allows a PIN in it, and other programs want it there; URLs allow a password.

    Raises:
        SettingsError: It holds one; the text is not repeated, as messages do with names of keys.
    """
    # Without "@" there is no password: this runs at each start.
    if "@" in text and re.search(_USER_INFO, text):
        raise SettingsError(
            "a key URI must not contain a user name or password",
            hint="leave out what stands before '@' in the host, and change that password if "
            "others could see it; credentials are settings of the plugin",
        )
    if "pin-value=" in text.lower():
        raise SettingsError(
            "a key URI must not contain a PIN",
            hint="leave 'pin-value' out, change that PIN if others could see it, and give it as a "
            "setting of the plugin, such as 'pin_file'",
        )


class KeyUri:
    """Name one KEK of one provider; immutable, equal and hashed by its two parts.

    Attributes:
        provider: Lower-case letters, digits and single hyphens; the plugin's entry-point name.
        key_id: What the provider calls the key: 1 to 2048 visible ASCII characters. What does
            not fit (a path with a space) is percent-encoded by the plugin.

    Raises:
        SettingsError: A part is empty, too long, or holds a character that is not allowed.
    """

    # Written out: a frozen dataclass would cost each start 6 ms for what defines it.
    __slots__ = ("key_id", "provider")
    __match_args__ = ("provider", "key_id")

    provider: str
    key_id: str

    def __init__(self, provider: str, key_id: str) -> None:
        if not _is_provider(provider):
            from .redaction import is_plain_word

            shown = repr(provider) if is_plain_word(provider) else "(not shown)"
            raise SettingsError(
                f"{shown} is not a provider's name",
                hint="write provider://key-id; 'ksm-storage providers' lists the providers",
            )
        if not is_visible_ascii(key_id, max_length=MAX_KEY_ID):
            raise SettingsError(
                f"the key id of a {provider} key is empty, longer than {MAX_KEY_ID} "
                "characters, or holds a space or a character that is not ASCII",
                hint="percent-encode such characters, as in key-file:///my%20keys/app.key",
            )
        object.__setattr__(self, "provider", provider)
        object.__setattr__(self, "key_id", key_id)

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
                hint=_near_uri(shown or ""),
                key=shown,
            )
        return cls(provider, key_id)

    def __str__(self) -> str:
        return f"{self.provider}://{self.key_id}"

    def __repr__(self) -> str:
        return f"KeyUri(provider={self.provider!r}, key_id={self.key_id!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeyUri):
            return NotImplemented
        return self.provider == other.provider and self.key_id == other.key_id

    def __hash__(self) -> int:
        return hash((self.provider, self.key_id))

    def __reduce__(self) -> tuple[type[KeyUri], tuple[str, str]]:
        return KeyUri, (self.provider, self.key_id)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot set {name!r}: a key URI is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete {name!r}: a key URI is immutable")


class Aad(Mapping[str, str]):
    """Hold an immutable map of short ASCII strings, never secret.

    It is a ``Mapping[str, str]`` for the services that bind a string map (AWS KMS's
    EncryptionContext, OCI's associatedData); ``bytes(aad)`` is for those that bind bytes
    (Google Cloud KMS, PKCS #11). Both forms say exactly the same: two maps have the same bytes
    only if they are equal.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._pairs = dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self._pairs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __bytes__(self) -> bytes:
        """Serialise as the AWS Encryption SDK does its encryption context.

        A two-byte count, then the pairs sorted by the bytes of their names, each string behind
        its two-byte length, all big-endian.
        Source: AWS Encryption SDK message format, "Key-Value Pairs".
        """
        encoded = sorted((name.encode(), value.encode()) for name, value in self._pairs.items())
        parts = [len(encoded).to_bytes(2, "big")]
        for pair in encoded:
            for text in pair:
                parts += (len(text).to_bytes(2, "big"), text)
        return b"".join(parts)

    def __repr__(self) -> str:
        return f"Aad({self._pairs!r})"

    def __hash__(self) -> int:
        return hash(frozenset(self._pairs.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aad) and self._pairs == other._pairs


class WrappedDek(NamedTuple):
    """Hold a DEK as its KEK encrypted it, and what is needed to have it decrypted again.

    Attributes:
        key_id: The KEK as the provider names it, resolved: no alias, and with the version where
            the service needs it to decrypt. Visible ASCII, at most 2048 characters.
        algorithm: The provider's own name of the wrapping algorithm. Visible ASCII, at most 64.
        ciphertext: What the service returned, 1 to 8192 bytes.
    """

    key_id: str
    algorithm: str
    ciphertext: bytes

    def require_made_by(
        self,
        key: object,
        *,
        is_covered: bool,
        algorithms: Container[str] | None = None,
        max_bytes: int = MAX_WRAPPED_DEK,
    ) -> None:
        """Refuse what another key wrapped, before a service is called.

        Args:
            key: The key that is to unwrap.
            is_covered: Whether its name may stand for :attr:`key_id`.
            algorithms: Those that are known, unless the plugin checks it otherwise.
            max_bytes: The longest ciphertext that the service takes. A longer one, or none, would
                be a malformed request to it, which would hide the damage.

        Raises:
            DecryptionError: Another key wrapped it, or with an unknown algorithm, or the
                ciphertext is empty or too long.
        """
        if algorithms is not None and self.algorithm not in algorithms:
            raise DecryptionError(f"unknown wrapping algorithm: {self.algorithm!r}")
        if not is_covered:
            raise DecryptionError(
                f"the data key was wrapped by the key {self.key_id!r}, not by {str(key)!r}"
            )
        if not 1 <= len(self.ciphertext) <= max_bytes:
            raise DecryptionError(f"the wrapped data key must be 1 to {max_bytes} bytes")


@runtime_checkable
class KeyWrapper(Protocol):
    """Wrap and unwrap 32-byte DEKs under one KEK.

    The methods raise only errors of :mod:`ksm_storage.errors`, each ``from`` its cause. They may
    be called from several threads at once.
    """

    @property
    def binds_aad(self) -> bool:
        """Tell whether the service itself refuses to unwrap under another AAD.

        RSA-OAEP cannot; the envelope's header MAC binds the AAD in any case.
        """
        ...

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK under the KEK with one call to the key service."""
        ...

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt a DEK that this KEK wrapped, naming the KEK in the call.

        Raises:
            DecryptionError: Another KEK, another AAD, or altered ciphertext.
        """
        ...

    def close(self) -> None:
        """Release what the key wrapper holds; further calls are allowed and do nothing."""
        ...


@runtime_checkable
class ReadsOfficialFormat(Protocol):
    """Also decrypt what Keeper's own storage packages encrypted under the same KEK.

    An ability beyond the contract: a key wrapper that has the method has the ability.
    """

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt a wrapped key, or for AWS a whole configuration, without any AAD of ours.

        Raises:
            DecryptionError: Another KEK, or altered ciphertext.
        """
        ...


def _is_provider(text: str) -> bool:
    # Without a regular expression, which each start would compile: a key is parsed at each one.
    return (
        0 < len(text) <= MAX_PROVIDER
        and _PROVIDER_CHARACTERS.issuperset(text)
        and text[0].isalpha()
        and not text.endswith("-")
        and "--" not in text
    )


def _near_uri(text: str) -> str:
    """Return how to write a key URI: the one that was meant, where that is plain."""
    if text.startswith("/") and not text.startswith(("//", "/projects/")):
        return f"for a key file write 'key-file://{text}'"
    # Each provider's name has a hyphen; a slash or two are easily left out.
    slip = re.fullmatch(r"([a-z]+-[a-z]+):(/?[^/].*)", text)
    if slip is not None:
        return f"did you mean '{slip[1]}://{slip[2]}'?"
    return "write provider://key-id, for instance key-file:///etc/ksm/app.key"
