"""Wrap and unwrap DEKs under one key of a vault."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence

from ksm_storage import plugin as kit

from .client import Reply, VaultClient
from .key_names import NAMES
from .options import AES, ALGORITHMS

# The service documents no limit; RSA-4096 makes 512 bytes, and AES adds less than a hundred.
MAX_CIPHERTEXT = 4096


class OracleKeyWrapper:
    """Wrap and unwrap under one key, with one call to the vault each."""

    def __init__(self, client: VaultClient, *, algorithm: str) -> None:
        self._name = client.name
        self._client = client
        self._algorithm = algorithm

    @property
    def binds_aad(self) -> bool:
        """Tell whether the vault binds the AAD of what is wrapped here; RSA keys take none."""
        return self._algorithm == AES

    def wrap(self, dek: bytes, *, aad: kit.Aad) -> kit.WrappedDek:
        """Encrypt the DEK; the wrapped DEK names the key and the version that encrypted it.

        Raises:
            ProviderError: The vault refused or failed, or encrypted under another key.
        """
        details = self._details(self._name, self._algorithm, aad)
        reply = self._client.call(
            "encrypt", {**details, "plaintext": base64.b64encode(dek).decode()}
        )
        ciphertext = _decoded(reply, "ciphertext")
        key = _key_of(reply, self._name)
        if key is None or not _covers(self._name, key):
            raise kit.ProviderError(
                f"the vault encrypted under another key than {str(self._name)!r}",
                hint="check the endpoint: the service itself does not do this",
                request_id=reply.request_id,
            )
        if key.version is None and self._algorithm != AES:
            # A ciphertext of an AES key names its version; one of an RSA key does not, and would
            # be lost with the next rotation.
            raise _incomplete(reply, "key_version_id")
        return kit.WrappedDek(str(key), self._algorithm, ciphertext)

    def unwrap(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> bytes:
        """Decrypt a DEK that this key wrapped; another key is refused before the vault is called.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: The vault refused or failed.
        """
        recorded = self._recorded(wrapped)
        # With the version: without it, RSA is tried with the current one, which fails after a
        # rotation.
        details = self._details(recorded, wrapped.algorithm, aad)
        return self._decrypted(recorded, details, wrapped.ciphertext)

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt a key that Keeper's own packages encrypted under this key, without any AAD.

        Nothing in it names how it was encrypted: the option ``algorithm`` says it.

        Raises:
            DecryptionError: Another key, or altered ciphertext.
            ProviderError: The vault refused or failed.
        """
        _check_length(ciphertext)
        details = _named(self._name, self._algorithm)
        return self._decrypted(self._name, details, ciphertext)

    def describe_key(self) -> kit.KeyDescription:
        """Ask the management endpoint for the key, and for the version where one is named.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        from .abilities import describe_key

        return describe_key(self._client)

    def wrapping_version(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> str | None:  # noqa: ARG002
        """Return the OCID of the version that the wrapped DEK names.

        Raises:
            DecryptionError: It names another key.
        """
        return self._recorded(wrapped).version

    def describe_access(self) -> Mapping[str, str]:
        """Return who signs the requests, and for which vault; the service itself does not say.

        Raises:
            KsmStorageError: The credentials could not be obtained.
        """
        from .abilities import describe_access

        return describe_access(self._client)

    def probe_permissions(self) -> Sequence[kit.PermissionProbe]:
        """Find out by encrypting and decrypting random bytes, which are thrown away.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        from .abilities import probe_permissions

        return probe_permissions(self._client, _named(self._name, self._algorithm))

    def close(self) -> None:
        """Close the connections to the vault."""
        self._client.close()

    def _recorded(self, wrapped: kit.WrappedDek) -> kit.KeyName:
        if wrapped.algorithm not in ALGORITHMS:
            raise kit.DecryptionError(f"unknown wrapping algorithm: {wrapped.algorithm!r}")
        name = NAMES.find(wrapped.key_id)
        if name is None or not _covers(self._name, name):
            raise kit.DecryptionError(
                f"the data key was wrapped by the key {wrapped.key_id!r}, not by "
                f"{str(self._name)!r}"
            )
        _check_length(wrapped.ciphertext)
        return name

    def _decrypted(self, name: kit.KeyName, details: dict[str, object], ciphertext: bytes) -> bytes:
        text = base64.b64encode(ciphertext).decode()
        reply = self._client.call("decrypt", {**details, "ciphertext": text})
        dek = _decoded(reply, "plaintext")
        _check(reply, dek)
        key = _key_of(reply, name)
        if key is None or not _covers(name, key):
            raise kit.DecryptionError(
                f"the vault decrypted with another key than {str(name)!r}",
                hint="check the endpoint: the service itself does not do this",
                request_id=reply.request_id,
            )
        return dek

    def _details(self, name: kit.KeyName, algorithm: str, aad: kit.Aad) -> dict[str, object]:
        details = _named(name, algorithm)
        # OAEP has no place for associated data; the header MAC binds the AAD there.
        if algorithm == AES:
            details["associated_data"] = dict(aad)
        return details


def _named(name: kit.KeyName, algorithm: str) -> dict[str, object]:
    details: dict[str, object] = {"key_id": name.key, "encryption_algorithm": algorithm}
    if name.version is not None:
        details["key_version_id"] = name.version
    return details


def _check_length(ciphertext: bytes) -> None:
    if not 1 <= len(ciphertext) <= MAX_CIPHERTEXT:
        # The service would refuse it as a malformed request, which would hide the damage.
        raise kit.DecryptionError(f"the wrapped data key must be 1 to {MAX_CIPHERTEXT} bytes")


def _key_of(reply: Reply, asked: kit.KeyName) -> kit.KeyName | None:
    """Return the key that a reply names: as asked where it names none, None for junk."""
    # Vaults have been seen to leave both names out; the request has named the key in any case.
    key_id = reply.optional_text("key_id") or asked.key
    version = reply.optional_text("key_version_id") or asked.version
    return NAMES.find(f"{key_id}/{version}" if version else key_id)


def _covers(trusted: kit.KeyName, name: kit.KeyName) -> bool:
    return NAMES.covers(str(trusted), str(name), versions_only=False)


def _decoded(reply: Reply, name: str) -> bytes:
    text = reply.optional_text(name)
    if text is None:
        raise _incomplete(reply, name)
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise _incomplete(reply, name)
    return decoded


def _check(reply: Reply, dek: bytes) -> None:
    # CRC-32, in decimal. It tells damage on the way; whoever wants to deceive can make one.
    if reply.optional_text("plaintext_checksum") != str(zlib.crc32(dek)):
        raise _incomplete(reply, "plaintext_checksum")


def _incomplete(reply: Reply, name: str) -> kit.UnavailableError:
    return kit.UnavailableError(
        f"the vault's reply has no valid {name!r}: it was cut off or altered in transit",
        hint="retry; if it persists, check the proxy between this host and the vault",
        request_id=reply.request_id,
    )
