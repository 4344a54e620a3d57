"""Wrap and unwrap DEKs under one key of a vault, and what ``status`` and ``doctor`` ask about it.

Source of the states: OCI API Reference, Key Management Service, "Key Reference".
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from ksm_storage import plugin as kit

from .client import PERMISSIONS, Reply, VaultClient
from .hooks import AES, ALGORITHMS, NAMES, key_covers

# The service documents no limit; RSA-4096 makes 512 bytes, and AES adds less than a hundred.
MAX_CIPHERTEXT = 4096

_NEEDS: Mapping[str, kit.Need] = {
    "encrypt": "seal",
    "decrypt": "open",
    "sign": "sign",
    "get_key": "describe",
}

_STATES: Mapping[str, kit.KeyState] = {
    "ENABLED": "enabled",
    "DISABLED": "disabled",
    "SCHEDULING_DELETION": "pending-deletion",
    "PENDING_DELETION": "pending-deletion",
    "DELETING": "destroyed",
    "DELETED": "destroyed",
}


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
        ciphertext = decoded_member(reply, "ciphertext")
        key = key_of(reply, self._name)
        if key is None or not key_covers(str(self._name), str(key)):
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
        name = self._recorded(kit.WrappedDek(str(self._name), self._algorithm, ciphertext))
        return self._decrypted(name, _named(name, self._algorithm), ciphertext)

    def signing_key(self) -> kit.SigningKey:
        """Ask the management endpoint for the public key of the version, or of the current one.

        Raises:
            KeyStateError: It is not a P-256 signing key.
            ProviderError: The vault refused or failed, or showed another key.
        """
        from .signing import signing_key

        return signing_key(self._client)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with one request.

        Raises:
            SettingsError: The name has no version.
            KeyStateError: The key is disabled, or cannot sign.
            ProviderError: The vault refused or failed, or signed with another key.
        """
        from .signing import sign_digest

        return sign_digest(self._client, digest)

    def describe_key(self) -> kit.KeyDescription:
        """Ask the management endpoint for the key, and for the version where one is named.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        name = self._name
        with closing(self._client.management()) as management:
            key = management.call("get_key", {"key_id": name.key}).data
            asked = key
            if name.version is not None and key.lifecycle_state == "ENABLED":
                details = {"key_id": name.key, "key_version_id": name.version}
                asked = management.call("get_key_version", details).data
        shape = key.key_shape
        return kit.KeyDescription(
            str(name),
            _STATES.get(asked.lifecycle_state, "unusable"),
            state_name=asked.lifecycle_state,
            deletion=_time(asked.time_of_deletion),
            algorithm=f"{shape.algorithm}-{shape.length * 8}",
            protection=key.protection_mode,
            current_version=key.current_key_version,
            rotation=_rotation(key),
            public=shape.algorithm == "RSA",
        )

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
        credentials, access, name = self._client.credentials(), self._client.access, self._name
        signer, config = credentials.signer, credentials.config
        labels = {
            "credential": access.credential,
            "identity": config.get("user"),
            "tenancy": config.get("tenancy") or getattr(signer, "tenancy_id", None),
            "region": access.region or name.parts["region"],
            "vault": name.parts["vault"],
            "endpoint": access.connection.endpoint,
            "first unwrap": self._client.first_unwrap(),
        }
        return {label: value for label, value in labels.items() if isinstance(value, str) and value}

    def probe_permissions(self) -> Sequence[kit.PermissionProbe]:
        """Find out by using the key on random bytes: what comes back is thrown away.

        Raises:
            KsmStorageError: The vault, the network, the credentials or a setting failed.
        """
        client, name = self._client, self._name
        details = _named(name, self._algorithm)
        made: list[str] = []
        shape: list[str] = []

        def encrypt() -> None:
            plaintext = base64.b64encode(os.urandom(kit.DEK_BYTES)).decode()
            reply = client.call("encrypt", {**details, "plaintext": plaintext})
            made.append(reply.optional_text("ciphertext") or "")

        def decrypt() -> None:
            # Where nothing could be encrypted, something that no key made: a caller who learns that
            # it does not decrypt is allowed to decrypt.
            ciphertext = made[0] if made else base64.b64encode(os.urandom(96)).decode()
            client.call("decrypt", {**details, "ciphertext": ciphertext})

        def read() -> None:
            with closing(client.management()) as management:
                key = management.call("get_key", {"key_id": name.key}).data
            shape.append(str(key.key_shape.algorithm))

        def sign() -> None:
            from .signing import request_to_sign

            client.call("sign", request_to_sign(name, os.urandom(32)))

        describing = _probed(name, "get_key", read)
        if shape in ([], ["ECDSA"]):
            signing = _probed(name, "sign", sign)
            if shape or signing.granted:
                return [signing, describing]
        sealing = _probed(name, "encrypt", encrypt)
        return [_probed(name, "decrypt", decrypt), sealing, describing]

    def close(self) -> None:
        """Close the connections to the vault."""
        self._client.close()

    def _recorded(self, wrapped: kit.WrappedDek) -> kit.KeyName:
        wrapped.require_made_by(
            self._name,
            is_covered=key_covers(str(self._name), wrapped.key_id),
            algorithms=ALGORITHMS,
            max_bytes=MAX_CIPHERTEXT,
        )
        return NAMES.parse(wrapped.key_id)

    def _decrypted(self, name: kit.KeyName, details: dict[str, object], ciphertext: bytes) -> bytes:
        text = base64.b64encode(ciphertext).decode()
        reply = self._client.decrypt({**details, "ciphertext": text})
        dek = decoded_member(reply, "plaintext")
        _check(reply, dek)
        key = key_of(reply, name)
        if key is None or not key_covers(str(name), str(key)):
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


def key_of(reply: Reply, asked: kit.KeyName) -> kit.KeyName | None:
    """Return the key that a reply names: as asked where it names none, None for junk."""
    # Vaults have been seen to leave both names out; the request has named the key in any case.
    key_id = reply.optional_text("key_id") or asked.key
    version = reply.optional_text("key_version_id") or asked.version
    return NAMES.find(f"{key_id}/{version}" if version else key_id)


def decoded_member(reply: Reply, name: str) -> bytes:
    """Return the bytes of a base64 member of a reply.

    Raises:
        UnavailableError: It is missing or malformed.
    """
    try:
        decoded = base64.b64decode(reply.optional_text(name) or "", validate=True)
    except ValueError:
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


def _probed(name: kit.KeyName, operation: str, call: Callable[[], None]) -> kit.PermissionProbe:
    permission, need = PERMISSIONS[operation], _NEEDS[operation]
    granted: bool | None = True
    reason = None
    try:
        call()
    except kit.DecryptionError:
        granted = True
    except kit.PermissionDeniedError as exc:
        granted, reason = False, exc.message
    except kit.KeyStateError as exc:
        # Which of the two the service checks first is not documented.
        granted, reason = None, exc.message
    except kit.UnavailableError as exc:
        # The management endpoint has a host of its own, which need not be in reach.
        if operation != "get_key":
            raise
        granted, reason = None, exc.message
    grant = None if granted else _policy(permission, name)
    return kit.PermissionProbe(permission, need, granted, reason, grant)


def _policy(permission: str, name: kit.KeyName) -> str:
    return (
        f"Allow group GROUP to {{{permission}}} in compartment COMPARTMENT "
        f"where target.key.id = '{name.key}'"
    )


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _rotation(key: Any) -> str | None:
    details = getattr(key, "auto_key_rotation_details", None)
    days = getattr(details, "rotation_interval_in_days", None)
    if not getattr(key, "is_auto_rotation_enabled", False) or days is None:
        return None
    return f"every {days} days"
