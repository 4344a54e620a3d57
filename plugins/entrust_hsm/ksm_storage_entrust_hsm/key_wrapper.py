"""Wrap and unwrap DEKs under one key of a token; the cryptography happens inside the token."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import byref, c_ubyte, c_ulong, c_void_p
from typing import TypeVar

from ksm_storage import plugin as kit

from . import cryptoki as ck
from .cryptoki import AttributeValue, template
from .hooks import AES_GCM, AUTO, IV_BYTES, MECHANISMS, TAG_BYTES, Access, Mechanism
from .key_names import KeyName
from .keys import Key, OpenSession, choose_mechanism
from .session import TokenSession, sessions

_Result = TypeVar("_Result")

MAX_CIPHERTEXT = 8192

_EXTRACTABLE: Mapping[int, AttributeValue] = {
    ck.CKA_CLASS: ck.CKO_SECRET_KEY,
    ck.CKA_KEY_TYPE: ck.CKK_GENERIC_SECRET,
    ck.CKA_TOKEN: False,
    ck.CKA_PRIVATE: False,
    ck.CKA_SENSITIVE: False,
    ck.CKA_EXTRACTABLE: True,
}


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

    def wrap(self, dek: bytes, *, aad: kit.Aad) -> kit.WrappedDek:
        """Encrypt the DEK; the wrapped DEK names the key's label, id and token, and the mechanism.

        Raises:
            ProviderError: The key does not exist or cannot wrap, or the token failed.
        """

        def wrapped(session: OpenSession) -> kit.WrappedDek:
            key, mechanism = self._chosen(session)
            if mechanism is AES_GCM:
                iv = bytes(IV_BYTES) if self._access.hsm_makes_iv else fresh_iv()
                ciphertext = encrypt_gcm(session, key, mechanism, dek, bytes(aad), iv=iv)
            elif session.takes_data(key, mechanism):
                ciphertext = _encrypted(session, key, _plain(mechanism), dek)
            else:
                ciphertext = wrap_object(session, key, mechanism, dek)
            return kit.WrappedDek(str(key.name), mechanism.name, ciphertext)

        return self._run(wrapped)

    def unwrap(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> bytes:
        """Decrypt a DEK that this key wrapped; another key is refused before the token decrypts.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: The key does not exist or cannot unwrap, or the token failed.
        """
        mechanism, recorded = self._recorded(wrapped)

        def unwrapped(session: OpenSession) -> bytes:
            key = session.key(self._name)
            if not recorded.covers(session.identity_of(key)):
                raise kit.DecryptionError(
                    f"the data key was wrapped by the key {wrapped.key_id!r}, but "
                    f"{str(self._name)!r} is the key {str(key.name)!r}"
                )
            if mechanism.key_type != key.key_type:
                raise kit.DecryptionError(
                    f"the data key was wrapped with {mechanism.name}, which does not work with "
                    f"the key {str(key.name)!r}"
                )
            if mechanism is AES_GCM:
                return decrypt_gcm(session, key, mechanism, wrapped.ciphertext, bytes(aad))
            if session.takes_data(key, mechanism):
                return decrypt_data(session, key, mechanism, wrapped.ciphertext)
            return unwrap_object(session, key, mechanism, wrapped.ciphertext)

        return self._run(unwrapped)

    def signing_key(self) -> kit.SigningKey:
        """Return the public key of a P-256 pair, and its resolved name.

        Raises:
            KeyStateError: It is not a P-256 pair.
            KsmStorageError: The token or the key does not exist, or the login failed.
        """
        from .signing import signing_key

        return self._run(lambda opened: signing_key(opened, self._key(opened)))

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with one call of the token.

        Raises:
            KeyStateError: The key may not sign, or it is not a P-256 pair.
            ProviderError: The key does not exist, or the token failed.
        """
        from .signing import sign

        with kit.translating(self._translated), kit.deadline_of(self._access.deadline):
            raw = self._ready_session().run(
                lambda opened: sign(opened, opened.key(self._name), digest), self._access.pin
            )
            if isinstance(raw, Exception):
                raise raw
        signature = kit.der_signature(raw)
        if signature is None:
            raise kit.ProviderError(f"the token returned a signature of {len(raw)} bytes, not 64")
        return signature

    def describe_key(self) -> kit.KeyDescription:
        """Return what the token says of the key.

        Raises:
            KsmStorageError: The token or the key does not exist, or the login failed.
        """
        from .abilities import describe_key

        wanted = self._access.mechanism
        return self._run(lambda opened: describe_key(opened, self._key(opened), mechanism=wanted))

    def wrapping_version(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> str | None:  # noqa: ARG002
        """Return None: keys of PKCS #11 have no versions."""
        return None

    def describe_access(self) -> Mapping[str, str]:
        """Say which library, token and slot the key is reached through.

        Raises:
            KsmStorageError: The token does not exist, or the login failed.
        """
        from .abilities import describe_access

        return self._run(lambda opened: describe_access(opened, self._access))

    def probe_permissions(self) -> Sequence[kit.PermissionProbe]:
        """Tell from the key's attributes whether it may wrap and unwrap.

        Raises:
            KsmStorageError: The token or the key does not exist, or the login failed.
        """
        from .abilities import probe_permissions

        wanted = self._access.mechanism
        return self._run(
            lambda opened: probe_permissions(opened, self._key(opened), mechanism=wanted)
        )

    def close(self) -> None:
        """Give the session back; the last one to do so closes it."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None and self._process == os.getpid():
                sessions.release(self._access, self._name)

    def _run(self, task: Callable[[OpenSession], _Result]) -> _Result:
        with kit.translating(self._translated), kit.deadline_of(self._access.deadline):
            return self._ready_session().run(task, self._access.pin)

    def _translated(self, exc: Exception) -> kit.KsmStorageError:
        from .errors import translated

        return translated(exc, str(self._name))

    def _ready_session(self) -> TokenSession:
        with self._lock:
            # What was acquired before a fork is the parent's.
            if self._session is None or self._process != os.getpid():
                self._session = sessions.acquire(self._access, self._name)
                self._process = os.getpid()
            return self._session

    def _key(self, session: OpenSession) -> Key:
        # As it is now: what a key may do is remembered with it, and an administrator changes that.
        session.forget_keys()
        return session.key(self._name)

    def _chosen(self, session: OpenSession) -> tuple[Key, Mechanism]:
        key = session.key(self._name)
        return key, choose_mechanism(session, key, self._access.mechanism)

    def _recorded(self, wrapped: kit.WrappedDek) -> tuple[Mechanism, KeyName]:
        mechanism = MECHANISMS.get(wrapped.algorithm)
        if mechanism is None:
            raise kit.DecryptionError(f"unknown wrapping algorithm {wrapped.algorithm!r}")
        try:
            recorded = KeyName.parse(wrapped.key_id)
        except kit.SettingsError as exc:
            raise kit.DecryptionError(
                f"the data key was wrapped by {wrapped.key_id!r}, which is not a PKCS #11 key"
            ) from exc
        wrapped.require_made_by(self._name, is_covered=self._name.covers(recorded))
        length = len(wrapped.ciphertext)
        if not 1 <= length <= MAX_CIPHERTEXT or length != (mechanism.ciphertext_bytes or length):
            raise kit.DecryptionError(
                f"the wrapped data key has {length} bytes, which {mechanism.name} does not produce"
            )
        return mechanism, recorded


def fresh_iv() -> bytes:
    """Return a random IV.

    Random IVs are safe for 2**32 wraps under one KEK (NIST SP 800-38D, 8.3): a file is wrapped
    when it is made or given another key, not when it is saved.
    """
    return os.urandom(IV_BYTES)


def encrypt_gcm(
    session: OpenSession, key: Key, mechanism: Mechanism, dek: bytes, aad: bytes, *, iv: bytes
) -> bytes:
    """Return ``IV || ciphertext || tag`` of AES-GCM, with the IV that the token used.

    Args:
        iv: A fresh random IV, or zeros where the token must put its own in their place.

    Raises:
        ProviderError: The token left the zeros, or its output has another length.
    """
    # A buffer of our own, and writable: the token may write its IV into it.
    own_iv = (c_ubyte * IV_BYTES).from_buffer_copy(iv)
    encrypted = _encrypted(session, key, _gcm(mechanism, own_iv, aad), dek)
    used = bytes(own_iv)
    if not any(used):
        # What was encrypted is thrown away: under a fixed IV two DEKs would give each other away.
        raise kit.ProviderError(
            "the token did not generate an IV", hint="set the option 'iv' to client"
        )
    if len(encrypted) != kit.DEK_BYTES + TAG_BYTES:
        # Some libraries put their IV behind the tag instead of where it belongs.
        raise kit.ProviderError(
            f"the token returned {len(encrypted)} bytes, but AES-GCM produces "
            f"{kit.DEK_BYTES + TAG_BYTES}",
            hint="set the option 'mechanism' to another mechanism",
        )
    return used + encrypted


def decrypt_gcm(
    session: OpenSession, key: Key, mechanism: Mechanism, ciphertext: bytes, aad: bytes
) -> bytes:
    """Return the DEK of ``IV || ciphertext || tag``."""
    iv = (c_ubyte * IV_BYTES).from_buffer_copy(ciphertext)
    return _decrypted(session, key, _gcm(mechanism, iv, aad), ciphertext[IV_BYTES:])


def decrypt_data(session: OpenSession, key: Key, mechanism: Mechanism, ciphertext: bytes) -> bytes:
    """Decrypt a DEK that was encrypted as data, by a mechanism without IV and AAD."""
    return _decrypted(session, key, _plain(mechanism), ciphertext)


def wrap_object(session: OpenSession, key: Key, mechanism: Mechanism, dek: bytes) -> bytes:
    """Wrap the DEK as an object of the session, where the token wraps nothing but objects."""
    handle = c_ulong()
    attributes = template({**_EXTRACTABLE, ck.CKA_VALUE: dek})
    session.module.call("C_CreateObject", session.handle, *attributes, byref(handle))
    with _destroyed(session, handle.value):
        return session.module.output_of(
            *("C_WrapKey", session.handle, byref(_plain(mechanism))),
            *(_wrapping_handle(key), handle.value),
        )


def unwrap_object(session: OpenSession, key: Key, mechanism: Mechanism, ciphertext: bytes) -> bytes:
    """Unwrap what :func:`wrap_object` made, or what the same mechanism encrypted as data."""
    handle = c_ulong()
    session.module.call(
        *("C_UnwrapKey", session.handle, byref(_plain(mechanism)), key.handle),
        *(_buffer(ciphertext), len(ciphertext)),
        *(*template(_EXTRACTABLE), byref(handle)),
    )
    with _destroyed(session, handle.value):
        return session.module.bytes_of(session.handle, handle.value, ck.CKA_VALUE)


def _encrypted(
    session: OpenSession, key: Key, mechanism: ck.MechanismArgument, dek: bytes
) -> bytes:
    handle = _wrapping_handle(key)
    session.module.call("C_EncryptInit", session.handle, byref(mechanism), handle)
    return session.module.output_of("C_Encrypt", session.handle, _buffer(dek), len(dek))


def _decrypted(
    session: OpenSession, key: Key, mechanism: ck.MechanismArgument, ciphertext: bytes
) -> bytes:
    if not ciphertext:
        raise kit.DecryptionError("the wrapped data key is too short")
    session.module.call("C_DecryptInit", session.handle, byref(mechanism), key.handle)
    return session.module.output_of(
        "C_Decrypt", session.handle, _buffer(ciphertext), len(ciphertext)
    )


def _wrapping_handle(key: Key) -> int:
    if key.wrapping_handle is None:
        raise kit.KeyStateError(
            f"the token does not have exactly one public key for {str(key.name)!r}",
            hint="the public key must have the label and the id of the private key; to unwrap, "
            "the private key is enough",
        )
    return key.wrapping_handle


def _gcm(mechanism: Mechanism, iv: ctypes.Array[c_ubyte], aad: bytes) -> ck.MechanismArgument:
    parameters = ck.GcmParameters(
        iv=ctypes.cast(iv, c_void_p),
        iv_length=IV_BYTES,
        iv_bits=IV_BYTES * 8,
        aad=ctypes.cast(ctypes.c_char_p(aad), c_void_p),
        aad_length=len(aad),
        tag_bits=TAG_BYTES * 8,
    )
    return _argument(mechanism, parameters)


def _plain(mechanism: Mechanism) -> ck.MechanismArgument:
    if not any(mechanism.oaep_hash):
        return ck.MechanismArgument(code=mechanism.code)
    number, mgf = mechanism.oaep_hash
    parameters = ck.OaepParameters(hash=number, mgf=mgf, source=ck.CKZ_DATA_SPECIFIED)
    return _argument(mechanism, parameters)


def _argument(mechanism: Mechanism, parameters: ctypes.Structure) -> ck.MechanismArgument:
    return ck.MechanismArgument(
        code=mechanism.code,
        parameter=ctypes.cast(ctypes.pointer(parameters), c_void_p),
        length=ctypes.sizeof(parameters),
    )


@contextmanager
def _destroyed(session: OpenSession, handle: int) -> Iterator[None]:
    try:
        yield
    finally:
        # It is a DEK in the clear, and would stay until the session ends.
        session.module.call("C_DestroyObject", session.handle, handle)


def _buffer(data: bytes) -> ctypes.Array[c_ubyte]:
    return (c_ubyte * len(data)).from_buffer_copy(data)
