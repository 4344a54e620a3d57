"""Encrypt and decrypt a DEK inside a token, by each kind of mechanism."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ctypes import byref, c_ubyte, c_ulong, c_void_p

from ksm_storage.plugin import DEK_BYTES, DecryptionError, ProviderError

from . import cryptoki as ck
from .attributes import AttributeValue, read_bytes, template
from .keys import Key, wrapping_handle
from .mechanisms import IV_BYTES, TAG_BYTES, Mechanism
from .session import OpenSession


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
    sealed = _encrypted(session, key, _gcm(mechanism, own_iv, aad), dek)
    used = bytes(own_iv)
    if not any(used):
        # What was encrypted is thrown away: under a fixed IV two DEKs would give each other away.
        raise ProviderError(
            "the token did not make an IV of its own", hint="set the option 'iv' to client"
        )
    if len(sealed) != DEK_BYTES + TAG_BYTES:
        # Some libraries put their IV behind the tag instead of where it belongs.
        raise ProviderError(
            f"the token made {len(sealed)} bytes where AES-GCM makes {DEK_BYTES + TAG_BYTES}",
            hint="set the option 'mechanism' to another one",
        )
    return used + sealed


def decrypt_gcm(
    session: OpenSession, key: Key, mechanism: Mechanism, ciphertext: bytes, aad: bytes
) -> bytes:
    """Return the DEK of ``IV || ciphertext || tag``."""
    iv = (c_ubyte * IV_BYTES).from_buffer_copy(ciphertext)
    return _decrypted(session, key, _gcm(mechanism, iv, aad), ciphertext[IV_BYTES:])


def encrypt_data(session: OpenSession, key: Key, mechanism: Mechanism, dek: bytes) -> bytes:
    """Encrypt the DEK as data, by a mechanism without IV and AAD."""
    return _encrypted(session, key, _plain(mechanism), dek)


def decrypt_data(session: OpenSession, key: Key, mechanism: Mechanism, ciphertext: bytes) -> bytes:
    """Decrypt what :func:`encrypt_data` made."""
    return _decrypted(session, key, _plain(mechanism), ciphertext)


def wrap_object(session: OpenSession, key: Key, mechanism: Mechanism, dek: bytes) -> bytes:
    """Wrap the DEK as an object of the session, where the token wraps nothing but objects."""
    with _object(session, {**_EXTRACTABLE, ck.CKA_VALUE: dek}) as handle:
        return session.module.output_of(
            "C_WrapKey", session.handle, byref(_plain(mechanism)), wrapping_handle(key), handle
        )


def unwrap_object(session: OpenSession, key: Key, mechanism: Mechanism, ciphertext: bytes) -> bytes:
    """Unwrap what :func:`wrap_object` made, or :func:`encrypt_data` with the same mechanism."""
    handle = c_ulong()
    session.module.call(
        *("C_UnwrapKey", session.handle, byref(_plain(mechanism)), key.handle),
        *(_buffer(ciphertext), len(ciphertext)),
        *(*template(_EXTRACTABLE), byref(handle)),
    )
    with _destroyed(session, handle.value):
        return read_bytes(session.module, session.handle, handle.value, ck.CKA_VALUE)


def _encrypted(
    session: OpenSession, key: Key, mechanism: ck.MechanismArgument, dek: bytes
) -> bytes:
    handle = wrapping_handle(key)
    session.module.call("C_EncryptInit", session.handle, byref(mechanism), handle)
    return session.module.output_of("C_Encrypt", session.handle, _buffer(dek), len(dek))


def _decrypted(
    session: OpenSession, key: Key, mechanism: ck.MechanismArgument, ciphertext: bytes
) -> bytes:
    if not ciphertext:
        raise DecryptionError("the wrapped DEK is too short")
    session.module.call("C_DecryptInit", session.handle, byref(mechanism), key.handle)
    return session.module.output_of(
        "C_Decrypt", session.handle, _buffer(ciphertext), len(ciphertext)
    )


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
def _object(session: OpenSession, attributes: Mapping[int, AttributeValue]) -> Iterator[int]:
    handle = c_ulong()
    session.module.call("C_CreateObject", session.handle, *template(attributes), byref(handle))
    with _destroyed(session, handle.value):
        yield handle.value


@contextmanager
def _destroyed(session: OpenSession, handle: int) -> Iterator[None]:
    try:
        yield
    finally:
        # It is a DEK in the clear, and would stay until the session ends.
        session.module.call("C_DestroyObject", session.handle, handle)


def _buffer(data: bytes) -> ctypes.Array[c_ubyte]:
    return (c_ubyte * len(data)).from_buffer_copy(data)


def fresh_iv() -> bytes:
    """Return a random IV.

    Random IVs are safe for 2**32 wraps under one KEK (NIST SP 800-38D, 8.3): a file is wrapped
    when it is made or given another key, not when it is saved.
    """
    return os.urandom(IV_BYTES)


_EXTRACTABLE: Mapping[int, AttributeValue] = {
    ck.CKA_CLASS: ck.CKO_SECRET_KEY,
    ck.CKA_KEY_TYPE: ck.CKK_GENERIC_SECRET,
    ck.CKA_TOKEN: False,
    ck.CKA_PRIVATE: False,
    ck.CKA_SENSITIVE: False,
    ck.CKA_EXTRACTABLE: True,
}
