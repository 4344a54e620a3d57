"""Wrap and unwrap DEKs under one key of a token."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ksm_storage.plugin import Aad, DecryptionError, SettingsError, WrappedDek

from . import choosing, wrapping
from .key_names import KeyName
from .keys import Key
from .mechanisms import AES_GCM, AUTO, IV_BYTES, MECHANISMS, Mechanism
from .options import Access
from .session import OpenSession, TokenSession
from .sharing import sessions

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyDescription, PermissionProbe

_Result = TypeVar("_Result")

MAX_CIPHERTEXT = 8192


class Pkcs11KeyWrapper:
    """Wrap and unwrap under the key that a name means, each inside the token."""

    def __init__(self, name: KeyName, access: Access) -> None:
        self._name = name
        self._access = access
        self._lock = threading.Lock()
        self._session: TokenSession | None = None
        self._process = 0

    @property
    def binds_aad(self) -> bool:
        """Tell whether the mechanism to wrap with binds the AAD.

        Unless the option ``mechanism`` says it, the token is asked.
        """
        if self._access.mechanism != AUTO:
            return MECHANISMS[self._access.mechanism].binds_aad
        return self._run(lambda session: self._chosen(session)[1].binds_aad)

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK; the wrapped DEK names the key's label, id and token, and the mechanism.

        Raises:
            ProviderError: There is no such key, it cannot wrap, or the token failed.
        """

        def wrapped(session: OpenSession) -> WrappedDek:
            key, mechanism = self._chosen(session)
            ciphertext = self._encrypted(session, key, mechanism, dek, bytes(aad))
            return WrappedDek(str(key.name), mechanism.name, ciphertext)

        return self._run(wrapped)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt a DEK that this key wrapped; what cannot be its own is refused beforehand.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: There is no such key, it cannot unwrap, or the token failed.
        """
        mechanism, recorded = self._recorded(wrapped)

        def unwrapped(session: OpenSession) -> bytes:
            key = session.key(self._name)
            if not recorded.covers(session.identity_of(key)):
                raise DecryptionError(
                    f"the DEK was wrapped by the key {wrapped.key_id!r}, and "
                    f"{str(self._name)!r} means {str(key.name)!r}"
                )
            if mechanism.key_type != key.key_type:
                raise DecryptionError(
                    f"the DEK was wrapped by {mechanism.name}, which takes no key such as "
                    f"{str(key.name)!r}"
                )
            return _decrypted(session, key, mechanism, wrapped.ciphertext, bytes(aad))

        return self._run(unwrapped)

    def describe_key(self) -> KeyDescription:
        """Return what the token says of the key.

        Raises:
            KsmStorageError: There is no such token or key, or the login failed.
        """
        from .description import described

        wanted = self._access.mechanism
        return self._run(lambda opened: described(opened, opened.key(self._name), mechanism=wanted))

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:  # noqa: ARG002
        """Return None: keys of PKCS #11 have no versions."""
        return None

    def describe_access(self) -> Mapping[str, str]:
        """Say which library, token and slot the key is reached through.

        Raises:
            KsmStorageError: There is no such token, or the login failed.
        """
        from .description import access_labels

        return self._run(lambda opened: access_labels(opened, self._access))

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Tell from the key's attributes whether it may wrap and unwrap.

        Raises:
            KsmStorageError: There is no such token or key, or the login failed.
        """
        from .probing import probed

        wanted = self._access.mechanism
        return self._run(lambda opened: probed(opened, opened.key(self._name), mechanism=wanted))

    def close(self) -> None:
        """Give the session back; the last one to do so closes it."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None and self._process == os.getpid():
                sessions.release(self._access, self._name)

    def _run(self, task: Callable[[OpenSession], _Result]) -> _Result:
        return self._ready_session().run(task, self._access.pin)

    def _ready_session(self) -> TokenSession:
        with self._lock:
            # What was acquired before a fork is the parent's.
            if self._session is None or self._process != os.getpid():
                self._session = sessions.acquire(self._access, self._name)
                self._process = os.getpid()
            return self._session

    def _chosen(self, session: OpenSession) -> tuple[Key, Mechanism]:
        key = session.key(self._name)
        return key, choosing.choose_mechanism(session, key, self._access.mechanism)

    def _encrypted(
        self, session: OpenSession, key: Key, mechanism: Mechanism, dek: bytes, aad: bytes
    ) -> bytes:
        if mechanism is AES_GCM:
            iv = bytes(IV_BYTES) if self._access.hsm_makes_iv else wrapping.fresh_iv()
            return wrapping.encrypt_gcm(session, key, mechanism, dek, aad, iv=iv)
        if choosing.takes_data(session, key, mechanism):
            return wrapping.encrypt_data(session, key, mechanism, dek)
        return wrapping.wrap_object(session, key, mechanism, dek)

    def _recorded(self, wrapped: WrappedDek) -> tuple[Mechanism, KeyName]:
        mechanism = MECHANISMS.get(wrapped.algorithm)
        if mechanism is None:
            raise DecryptionError(f"the wrapping algorithm {wrapped.algorithm!r} is not known here")
        try:
            recorded = KeyName.parse(wrapped.key_id)
        except SettingsError as exc:
            raise DecryptionError(
                f"the DEK was wrapped by {wrapped.key_id!r}, which names no PKCS#11 key"
            ) from exc
        if not self._name.covers(recorded):
            raise DecryptionError(
                f"the DEK was wrapped by the key {wrapped.key_id!r}, not by {str(self._name)!r}"
            )
        length = len(wrapped.ciphertext)
        if not 1 <= length <= MAX_CIPHERTEXT or length != (mechanism.ciphertext_bytes or length):
            raise DecryptionError(f"the wrapped DEK has no length that {mechanism.name} makes")
        return mechanism, recorded


def _decrypted(
    session: OpenSession, key: Key, mechanism: Mechanism, ciphertext: bytes, aad: bytes
) -> bytes:
    if mechanism is AES_GCM:
        return wrapping.decrypt_gcm(session, key, mechanism, ciphertext, aad)
    if choosing.takes_data(session, key, mechanism):
        return wrapping.decrypt_data(session, key, mechanism, ciphertext)
    return wrapping.unwrap_object(session, key, mechanism, ciphertext)
