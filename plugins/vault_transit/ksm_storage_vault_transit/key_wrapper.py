"""Wrap and unwrap data keys under one Transit key."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ksm_storage.plugin import (
    Aad,
    DecryptionError,
    KsmStorageError,
    SettingsError,
    WrappedDek,
)

from .client import VaultClient
from .hooks import is_path

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyDescription, PermissionProbe, SigningKey

# The server does not say by which cipher it encrypts; that it is an AEAD is what we ask for.
ALGORITHM = "TRANSIT_AEAD"

# No key has this type, so that the server refuses to make a key that is not there.
NEVER_CREATE = "existing-keys-only"

_CIPHERTEXT = re.compile(r"vault:v([1-9][0-9]{0,9}):([A-Za-z0-9+/]+={0,2})")


_NAME = re.compile(r"(?P<path>[^@]+)(?:@(?P<version>[1-9][0-9]{0,9}))?")


class TransitKey(NamedTuple):
    """Name one key: the path where the secrets engine is mounted, and the key in it.

    Attributes:
        version: The version of a signing key; None for a key that wraps.
    """

    mount: str
    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> TransitKey:
        """Read ``MOUNT/KEY`` or ``MOUNT/KEY@VERSION``; the mount path may have several parts.

        Raises:
            SettingsError: The text has no such form.
        """
        match = _NAME.fullmatch(text)
        mount, _, name = match["path"].rpartition("/") if match else ("", "", "")
        if match is None or not mount or not is_path(match["path"]):
            raise SettingsError(
                f"not a valid Transit key: {text!r}",
                hint="write vault-transit://MOUNT/KEY, as in vault-transit://transit/payments",
            )
        return cls(mount, name, match["version"])

    def path(self, operation: str) -> str:
        """Return the path of the API for an operation on the key."""
        return f"{self.mount}/{operation}/{self.name}"

    def __str__(self) -> str:
        name = f"{self.mount}/{self.name}"
        return name if self.version is None else f"{name}@{self.version}"


class TransitKeyWrapper:
    """Wrap and unwrap under one key with one call each, and a login before it if need be."""

    def __init__(self, key: TransitKey, client: VaultClient) -> None:
        self._key = key
        self._client = client

    @property
    def binds_aad(self) -> bool:
        """Tell that Transit binds the AAD; keys that cannot are refused by the server."""
        return True

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the data key under the newest version of the key.

        Raises:
            SettingsError: The name has a version.
            KeyNotFoundError: The key does not exist; it is not created.
            ProviderError: The server refused or failed.
        """
        if self._key.version is not None:
            raise SettingsError(
                f"the key {str(self._key)!r} names a version, which only signing keys do",
                hint="name the key without '@VERSION'; the ciphertext records the version",
            )
        body = {"plaintext": _text(dek), "associated_data": _text(bytes(aad)), "type": NEVER_CREATE}
        ciphertext = self._use("encrypt", body, "ciphertext")
        if _parts(ciphertext) is None:
            raise self._unusable("encrypt", "ciphertext")
        return WrappedDek(str(self._key), ALGORITHM, ciphertext.encode())

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt a data key that this key wrapped.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            KeyStateError: The version that wrapped it is below ``min_decryption_version``.
            ProviderError: The server refused or failed.
        """
        ciphertext, _ = self._accepted(wrapped)
        body = {"ciphertext": ciphertext, "associated_data": _text(bytes(aad))}
        try:
            return b64decode(self._use("decrypt", body, "plaintext"), validate=True)
        except ValueError:
            pass
        # Outside the block: the exception may quote the data key.
        raise self._unusable("decrypt", "plaintext")

    def signing_key(self) -> SigningKey:
        """Ask the server for the public key and its version.

        Raises:
            KeyStateError: It is not a P-256 signing key, or it has no such version.
            ProviderError: The server refused or failed.
        """
        from .signing import signing_key

        return signing_key(self._client, self._key)

    def create_signing_key(self) -> str:
        """Create a P-256 key of this name, and return the name with its version."""
        from .signing import create_signing_key

        return create_signing_key(self._client, self._key)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with the version that the name has, with one call.

        Raises:
            SettingsError: The name has no version.
            KeyStateError: The key cannot sign, or the version is no longer allowed to.
            ProviderError: The server refused or failed.
        """
        from .signing import sign_digest

        return sign_digest(self._client, self._key, digest)

    def describe_key(self) -> KeyDescription:
        """Ask the server for the type, the state and the newest version of the key.

        Raises:
            KeyNotFoundError: The key does not exist.
            ProviderError: The server refused or failed.
        """
        from .description import describe_key

        return describe_key(self._client, self._key)

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:  # noqa: ARG002
        """Return the version that the ciphertext names; calls nothing.

        Raises:
            DecryptionError: Another key wrapped it, or it was altered.
        """
        return self._accepted(wrapped)[1]

    def describe_access(self) -> Mapping[str, str]:
        """Say where the server is, which it is, and whom it takes the token for.

        Raises:
            AuthenticationError: There is no usable token.
            ProviderError: The server refused or failed.
        """
        from .description import describe_access

        return describe_access(self._client, self._key)

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Ask the server what the token may do with the key, with one call that uses no key.

        Raises:
            ProviderError: The server could not be asked.
        """
        from .description import probe_permissions

        return probe_permissions(self._client, self._key)

    def close(self) -> None:
        """Forget the token of a login."""
        self._client.close()

    def _use(self, operation: str, body: Mapping[str, object], member: str) -> str:
        path = self._key.path(operation)
        reply = self._client.post(path, body, operation=operation, key=str(self._key))
        data: Any = reply.get("data")
        value = data.get(member) if isinstance(data, dict) else None
        if not isinstance(value, str):
            raise self._unusable(operation, member)
        return value

    def _accepted(self, wrapped: WrappedDek) -> tuple[str, str]:
        if wrapped.key_id != str(self._key):
            raise DecryptionError(
                f"the data key was wrapped by the key {wrapped.key_id!r}, not by {str(self._key)!r}"
            )
        if wrapped.algorithm != ALGORITHM:
            raise DecryptionError(f"unknown wrapping algorithm: {wrapped.algorithm!r}")
        text = wrapped.ciphertext.decode("ascii", "replace")
        version = _parts(text)
        if version is None:
            raise DecryptionError("the wrapped data key is not a Transit ciphertext")
        return text, version

    def _unusable(self, operation: str, member: str) -> KsmStorageError:
        from ksm_storage.plugin import Call, incomplete_reply

        return incomplete_reply(member, Call(operation, str(self._key), self._client.place))


def _parts(ciphertext: str) -> str | None:
    """Return the version in a ciphertext, or None for anything but its one canonical form.

    The server accepts other spellings of the same bytes: version 0 for 1, and line breaks.
    """
    match = _CIPHERTEXT.fullmatch(ciphertext)
    if match is None:
        return None
    try:
        is_canonical = _text(b64decode(match[2], validate=True)) == match[2]
    except ValueError:
        return None
    return match[1] if is_canonical else None


def _text(data: bytes) -> str:
    return b64encode(data).decode()
