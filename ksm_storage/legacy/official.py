"""Open a file that one of Keeper's own storage packages sealed, with the KEK that sealed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..config.document import Document
from ..config.json_form import InvalidConfigError, parse_object, string_map
from ..contract.key_uri import KeyUri
from ..errors import DecryptionError, KsmStorageError
from ..keys.kek import Kek
from .blob import MAGIC, decrypt_blob, read_blob

OpenKek = Callable[[KeyUri], Kek]

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def is_blob(raw: bytes) -> bool:
    """Tell whether the bytes begin as the files of all official packages do but one."""
    return raw.startswith(MAGIC)


def is_official(raw: bytes) -> bool:
    """Tell whether the bytes may be a file of an official package.

    The AWS package for Python writes nothing but a ciphertext of KMS, which has no documented
    form: any bytes that are no text may be one, and only KMS can tell.
    """
    if is_blob(raw):
        return True
    try:
        return "\0" in raw.decode("utf-8")
    except UnicodeDecodeError:
        return not raw.startswith(_UTF_16)


def open_official(raw: bytes, keys: Sequence[KeyUri], open_kek: OpenKek) -> Document:
    """Return the configuration, through the first of the keys that opens it.

    Raises:
        EnvelopeError: The file is damaged.
        DecryptionError: Another key, or altered data.
        ProviderError, PluginError, SettingsError: No key could be used; the first one's error.
    """
    failures: list[KsmStorageError] = []
    for key in keys:
        try:
            return _document(_opened(raw, key, open_kek))
        except KsmStorageError as exc:
            failures.append(exc)
    raise failures[0]


def _opened(raw: bytes, key: KeyUri, open_kek: OpenKek) -> bytes:
    # The AWS package for Python has KMS encrypt the whole configuration.
    blob = read_blob(raw) if is_blob(raw) else None
    with open_kek(key) as kek:
        if blob is None:
            return kek.decrypt_official(raw)
        return decrypt_blob(blob, kek.decrypt_official(blob.wrapped_key))


def _document(payload: bytes) -> Document:
    try:
        return Document.single(string_map(parse_object(payload)))
    except InvalidConfigError as exc:
        raise DecryptionError(
            f"what the file of Keeper's own package held {exc}",
            hint="it is no Keeper configuration, or was sealed under another key",
        ) from exc.__cause__
