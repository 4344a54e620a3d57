"""The hooks of the provider ``pkcs11``; importing this module loads no PKCS#11 library."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage import plugin as kit

NATIVE_PREFIX = "pkcs11:"


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare which library is loaded, how it is logged in to, and which mechanism is used."""
    from .options import declared_options

    return declared_options()


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the library is loaded when the key is first used."""
    from .key_names import KeyName
    from .key_wrapper import Pkcs11KeyWrapper
    from .options import access_from

    return Pkcs11KeyWrapper(KeyName.parse(key_id), access_from(settings))


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the URI of RFC 7512."""
    if not text.startswith(NATIVE_PREFIX) or text.startswith(f"{NATIVE_PREFIX}//"):
        return None
    return text[len(NATIVE_PREFIX) :] or None


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let a name stand for each key that has all of its attributes; the token confirms it."""
    from .key_names import covers

    return covers(trusted, key_id)
