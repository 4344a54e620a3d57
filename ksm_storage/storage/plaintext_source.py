"""Read a configuration that is not yet in an envelope: plain, or sealed by an official package.

Keeper's Azure, Google, Oracle and JavaScript storage packages write a blob::

    ff ff | len16 wrapped key | len16 nonce | len16 tag | len16 ciphertext

AES-256-GCM without AAD; the lengths are big-endian and precede their part. Nothing in the file
names the provider, the key or the algorithm: the caller must know the key.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from ..config.document import Document, InvalidConfigError, read_object, string_map
from ..config.recognise import (
    FORMS_HINT,
    NSHIELD_HINT,
    NSHIELD_MAGIC,
    Form,
    Plain,
    recognise,
    refuse_unusable,
)
from ..contract.key_wrapper import KeyUri
from ..envelope.opening import OpenKek
from ..errors import DecryptionError, EnvelopeError, KsmStorageError, StorageError
from ..keys.discovery import LOCAL

MAGIC = b"\xff\xff"

_TAG_BYTES = 16
# 12 since the Python packages 1.1.0; 16 before that and in the JavaScript packages.
_NONCE_BYTES = (12, 16)
_KEY_BYTES = 32
_DAMAGED = "restore it from a backup, or bind again with: ksm-storage init PATH --key URI"


def read_plaintext(
    content: bytes,
    keys: Sequence[KeyUri],
    from_key: KeyUri | None,
    *,
    open_kek: OpenKek,
    name: str,
) -> Plain:
    """Return the configuration in the bytes of a file that is not an envelope.

    Args:
        content: The bytes.
        keys: The keys that open an official package's file, unless another is given.
        from_key: The key of an official package's file.
        open_kek: Opens the KEK of a key URI.
        name: What the messages call the file.

    Raises:
        StorageError: It is not a configuration.
        EnvelopeError, DecryptionError, ProviderError, PluginError: An official package's file
            could not be opened.
    """
    if is_officially_sealed(content, keys, from_key):
        tried = (from_key,) if from_key is not None else keys
        return Plain(Form.OFFICIAL, open_official(content, tried, open_kek))
    return recognise(content, name=name)


def is_officially_sealed(content: bytes, keys: Sequence[KeyUri], from_key: KeyUri | None) -> bool:
    """Tell whether the bytes are to be opened as a file of an official package."""
    # No official package seals under a local key; with one, bytes that merely may be a file of
    # such a package are more likely a text in another encoding.
    tried = (from_key,) if from_key is not None else keys
    return is_blob(content) or (
        is_official(content) and not all(key.provider in LOCAL for key in tried)
    )


def is_official(raw: bytes) -> bool:
    """Tell whether the bytes may be a file of an official package.

    The AWS package for Python writes nothing but a ciphertext of KMS, which has no documented
    form: any bytes that are not text may be one, and only KMS can tell.
    """
    if is_blob(raw):
        return True
    try:
        if "\0" not in raw.decode("utf-8").rstrip("\0 \t\r\n"):
            return False
    except UnicodeDecodeError:
        pass
    from ..config.diagnosis import foreign_format, other_encoding

    # What another program packed or encrypted is not sent to a key service.
    return other_encoding(raw) is None and foreign_format(raw) is None


def is_blob(raw: bytes) -> bool:
    """Tell whether the bytes begin as the files of all official packages do but one."""
    return raw.startswith(MAGIC)


def wrong_format(path: str, content: bytes) -> EnvelopeError:
    """Return the error for a file that is not an envelope."""
    # AWS KMS alone says nothing of itself at the start; by observation it begins so.
    if _is_of_nshield(content):
        return _nshield_error(repr(path))
    if is_blob(content) or content.startswith(b"\x01\x02"):
        return EnvelopeError(
            f"{path!r} was sealed by one of Keeper's own packages, not by ksm-storage",
            hint="give the key that opens it: "
            f"ksm-storage protect {shlex.quote(path)} --from-key URI --key URI",
        )
    try:
        refuse_unusable(recognise(content, name="it").document, name="it")
    except StorageError as exc:
        hint = "give the path of the sealed configuration" if exc.hint == FORMS_HINT else exc.hint
        return EnvelopeError(f"{path!r} is not an envelope: {exc.message}", hint=hint)
    return EnvelopeError(
        f"{path!r} is a plain configuration, not sealed",
        hint=f"seal it with: ksm-storage protect {shlex.quote(path)}",
    )


def open_official(raw: bytes, keys: Sequence[KeyUri], open_kek: OpenKek) -> Document:
    """Return the configuration, through the first of the keys that opens it.

    Raises:
        EnvelopeError: The file is damaged.
        DecryptionError: The wrong key, or altered data.
        ProviderError, PluginError, SettingsError: No key could be used; the first one's error.
    """
    failures: list[KsmStorageError] = []
    for key in keys:
        try:
            return _official_document(raw, key, open_kek)
        except KsmStorageError as exc:
            failures.append(exc)
    raise failures[0]


def _official_document(raw: bytes, key: KeyUri, open_kek: OpenKek) -> Document:
    # The AWS package for Python has KMS encrypt the whole configuration.
    blob = read_blob(raw) if is_blob(raw) else None
    with open_kek(key) as kek:
        if blob is None:
            payload = kek.decrypt_official(raw)
        else:
            payload = decrypt_blob(blob, kek.decrypt_official(blob.wrapped_key))
    try:
        return Document.single(string_map(read_object(payload)))
    except InvalidConfigError as exc:
        raise DecryptionError(
            f"the content of the Keeper package's file {exc}",
            hint="it is not a Keeper configuration, or was sealed under another key",
        ) from exc.__cause__


class Blob(NamedTuple):
    """Hold the four parts of a blob."""

    wrapped_key: bytes
    nonce: bytes
    tag: bytes
    ciphertext: bytes


def read_blob(raw: bytes) -> Blob:
    """Parse a blob.

    Raises:
        EnvelopeError: It is truncated, has trailing bytes, or is of the nShield package.
    """
    if _is_of_nshield(raw):
        raise _nshield_error("the file")
    parts: list[bytes] = []
    rest = raw.removeprefix(MAGIC)
    while len(parts) < len(Blob._fields):
        length = int.from_bytes(rest[:2], "big")
        if len(rest) < 2 + length:
            raise EnvelopeError("the Keeper package's file is truncated", hint=_DAMAGED)
        parts.append(rest[2 : 2 + length])
        rest = rest[2 + length :]
    # The official readers ignore them; whoever appended them, it was not the package.
    if rest:
        raise EnvelopeError("the Keeper package's file has trailing bytes", hint=_DAMAGED)
    blob = Blob(*parts)
    if len(blob.nonce) not in _NONCE_BYTES or len(blob.tag) != _TAG_BYTES:
        raise EnvelopeError("the Keeper package's file has parts of invalid lengths", hint=_DAMAGED)
    return blob


def _is_of_nshield(raw: bytes) -> bool:
    # It writes the number of its mechanism where the others write the wrapped key.
    return raw.startswith(NSHIELD_MAGIC)


def _nshield_error(name: str) -> EnvelopeError:
    return EnvelopeError(
        f"{name} was sealed by Keeper's nShield package, which alone can open it",
        hint=NSHIELD_HINT,
    )


def decrypt_blob(blob: Blob, key: bytes) -> bytes:
    """Decrypt the configuration under the unwrapped key.

    Raises:
        DecryptionError: The wrong key, or altered data.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(key) != _KEY_BYTES:
        raise DecryptionError(f"the unwrapped key is {len(key)} bytes, not {_KEY_BYTES}")
    try:
        return AESGCM(key).decrypt(blob.nonce, blob.ciphertext + blob.tag, None)
    except InvalidTag as exc:
        raise DecryptionError(
            "the Keeper package's file does not open: wrong key or altered data"
        ) from exc
