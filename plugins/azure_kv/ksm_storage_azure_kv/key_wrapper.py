"""Wrap and unwrap DEKs under one key of a vault or managed HSM."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ksm_storage import plugin as kit

from .client import VaultClient
from .hooks import AES, ALGORITHMS, NAMES, RSA

# What leads to the vault, for a reply that no vault gives.
CHECK = "the option 'connect_to'"

IV_BYTES = 12
TAG_BYTES = 16

# The service's name for OAEP with SHA-1. Keeper's packages use it, and nothing here wraps with it.
_OFFICIAL_RSA = "RSA-OAEP"

# RSA ciphertexts are as long as the key; AES ones are IV, encrypted DEK and tag, in this order.
_LENGTHS = {RSA: (256, 384, 512), AES: (IV_BYTES + kit.DEK_BYTES + TAG_BYTES,)}


class AzureKeyWrapper:
    """Wrap and unwrap under the key that a name stands for, with one key operation each."""

    def __init__(self, name: kit.KeyName, client: VaultClient, *, algorithm: str) -> None:
        self._name = name
        self._client = client
        self._algorithm = algorithm

    @property
    def binds_aad(self) -> bool:
        """Tell whether the service binds the AAD of what is wrapped here; RSA-OAEP takes none."""
        return self._algorithm == AES

    def wrap(self, dek: bytes, *, aad: kit.Aad) -> kit.WrappedDek:
        """Have the DEK encrypted; the wrapped DEK names the version of the key.

        Raises:
            ProviderError: The service refused or failed, or encrypted under another key.
        """
        if self._algorithm == AES:
            body = {"alg": AES, "value": encoded(dek), "aad": encoded(bytes(aad))}
            reply = self._client.call("encrypt", self._name, body)
            iv, value, tag = (member_bytes(reply, name) for name in ("iv", "value", "tag"))
            if (len(iv), len(tag)) != (IV_BYTES, TAG_BYTES):
                raise _incomplete("iv or tag")
            ciphertext = iv + value + tag
        else:
            body = {"alg": RSA, "value": encoded(dek)}
            reply = self._client.call("wrapKey", self._name, body)
            ciphertext = member_bytes(reply, "value")
        key_id = member_text(reply, "kid")
        if not NAMES.covers(str(self._name), key_id):
            raise kit.other_key_error("the vault", "wrapped under", key_id, self._name, check=CHECK)
        # As the service writes it but for the case of the host, so that it can be compared.
        return kit.WrappedDek(str(NAMES.parse(key_id)), self._algorithm, ciphertext)

    def unwrap(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> bytes:
        """Have a DEK decrypted by the version of this key that wrapped it.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: The service refused or failed.
        """
        version = self._version_of(wrapped)
        if wrapped.algorithm == AES:
            body = aes_body(wrapped.ciphertext, aad)
            reply = self._client.unwrap("decrypt", version, body)
        else:
            # The newest version could not unwrap what an older one wrapped.
            body = {"alg": RSA, "value": encoded(wrapped.ciphertext)}
            reply = self._client.unwrap("unwrapKey", version, body)
        return _dek(reply, version)

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Have a key unwrapped that Keeper's own packages wrapped under this RSA key.

        They wrap with SHA-1 and record no version: without one in the name, the newest unwraps.

        Raises:
            DecryptionError: Another key or version, or altered ciphertext.
            ProviderError: The service refused or failed.
        """
        if len(ciphertext) not in _LENGTHS[RSA]:
            raise kit.DecryptionError(
                f"the wrapped key does not have the length of {_OFFICIAL_RSA}"
            )
        body = {"alg": _OFFICIAL_RSA, "value": encoded(ciphertext)}
        return _dek(self._client.call("unwrapKey", self._name, body), self._name)

    def signing_key(self) -> kit.SigningKey:
        """Ask the vault for the public key and its version."""
        from .signing import signing_key

        return signing_key(self._client, self._name)

    def create_signing_key(self) -> str:
        """Create a P-256 key of this name, and return the URL of its version."""
        from .signing import create_signing_key

        return create_signing_key(self._client, self._name)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with one request."""
        from .signing import sign_digest

        return sign_digest(self._client, self._name, digest)

    def describe_key(self) -> kit.KeyDescription:
        """Ask the vault for the key's state, and for its rotation if the caller may read it.

        Raises:
            ProviderError: The service refused or failed.
        """
        from .abilities import describe_key

        return describe_key(self._client, self._name)

    def wrapping_version(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> str | None:  # noqa: ARG002
        """Return the version that wrapped a DEK, which the wrapped DEK names; calls nothing.

        Raises:
            DecryptionError: Another key wrapped it.
        """
        return self._version_of(wrapped).version

    def describe_access(self) -> Mapping[str, str]:
        """Return the identity that the vault sees, and where it is.

        Raises:
            AuthenticationError: The vault rejects the caller's token, or the caller has none.
            ProviderError: The service failed.
        """
        from .abilities import describe_access

        return describe_access(self._client, self._name)

    def probe_permissions(self) -> Sequence[kit.PermissionProbe]:
        """Probe the permissions by wrapping and unwrapping a throw-away key, and by reading.

        Raises:
            ProviderError: The service could not be asked.
        """
        from .abilities import Prober

        return Prober(self, self._client, self._name, self._algorithm).probes()

    def close(self) -> None:
        """Close the connections to the vault."""
        self._client.close()

    def _version_of(self, wrapped: kit.WrappedDek) -> kit.KeyName:
        is_covered = NAMES.covers(str(self._name), wrapped.key_id)
        wrapped.require_made_by(self._name, is_covered=is_covered, algorithms=ALGORITHMS)
        if len(wrapped.ciphertext) not in _LENGTHS[wrapped.algorithm]:
            raise kit.DecryptionError(
                f"the wrapped data key does not have the length of {wrapped.algorithm}"
            )
        return NAMES.parse(wrapped.key_id)


def aes_body(ciphertext: bytes, aad: kit.Aad) -> dict[str, str]:
    """Return the request for the decryption of an AES ciphertext."""
    return {
        "alg": AES,
        "value": encoded(ciphertext[IV_BYTES:-TAG_BYTES]),
        "aad": encoded(bytes(aad)),
        "iv": encoded(ciphertext[:IV_BYTES]),
        "tag": encoded(ciphertext[-TAG_BYTES:]),
    }


def _dek(reply: Mapping[str, Any], name: kit.KeyName) -> bytes:
    dek, key_id = member_bytes(reply, "value"), member_text(reply, "kid")
    if not NAMES.covers(str(name), key_id):
        raise kit.DecryptionError(
            f"the vault decrypted with the key {key_id!r}, not with {str(name)!r}"
        )
    if len(dek) != kit.DEK_BYTES:
        # Whoever has the public key can wrap anything.
        raise kit.DecryptionError(f"the unwrapped data key must be {kit.DEK_BYTES} bytes")
    return dek


def encoded(raw: bytes) -> str:
    """Return bytes as the service writes them: base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def member_text(reply: Mapping[str, Any], name: str) -> str:
    """Return a member that is a text with something in it; raise UnavailableError for others."""
    value = reply.get(name)
    if not isinstance(value, str) or not value:
        raise _incomplete(name)
    return value


def member_bytes(reply: Mapping[str, Any], name: str) -> bytes:
    """Return a member that is base64url; raise UnavailableError for anything else."""
    text = member_text(reply, name).rstrip("=")
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError as exc:
        # Its text shows nothing of the value.
        raise _incomplete(name) from exc


def _incomplete(name: str) -> kit.UnavailableError:
    return kit.UnavailableError(
        f"the vault's reply has no valid {name}: it was cut off or altered in transit",
        hint="retry; if it persists, check the proxy between this host and the vault",
    )
