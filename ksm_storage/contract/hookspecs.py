"""The pluggy hooks that a plugin implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pluggy

from .key_wrapper import KeyWrapper
from .settings import Option, Settings

PROJECT = "ksm_storage"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def key_wrapper_options() -> Sequence[Option]:  # type: ignore[empty-body]  # a hook has no body
    """Return the options that the plugin understands; must not import the service's SDK."""


@hookspec(firstresult=True)
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:  # type: ignore[empty-body]
    """Open the key wrapper of one KEK; must not call the network.

    Raises:
        SettingsError: The key id or a setting cannot be used.
    """


@hookspec(firstresult=True)
def recognise_key(text: str) -> str | None:
    """Return the key id if the text is the provider's own way to name a key, else None.

    It lets a user paste ``arn:aws:kms:...`` where a key URI is expected. Optional; must not
    import the service's SDK.
    """


@hookspec(firstresult=True)
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Tell whether the trusted key id may stand for the resolved one, without the network.

    An alias may stand for any key of its region, a key without version for each of its
    versions. The DEK is then unwrapped by a key wrapper opened with the *trusted* key id, which
    must refuse a KEK that its name does not resolve to. Optional; equality is taken otherwise.
    """


@hookspec(firstresult=True)
def newest_version(key_id: str, algorithm: str, ciphertext: bytes) -> str | None:
    """Return the name by which the newest version of a recorded key wraps, without the network.

    An envelope records the version that wrapped. When the file is to be wrapped anew under the
    same key, it must not stay with a version that may be destroyed after a rotation. The wrapped
    DEK is given for a provider that keeps a public key in it. Optional; None, or no hook, where
    the recorded name is the one to wrap by.

    Raises:
        DecryptionError: The wrapped DEK does not belong to the key.
    """


@hookspec
def audit_event(event: Mapping[str, object]) -> None:
    """Take note of what happened to a sealed file.

    Called for a module that a distribution offers in the entry-point group
    ``ksm_storage.audit_sinks``, and that the user named. An event holds names, numbers and times,
    never a secret. An exception from the hook stops nothing; the user is warned once that events
    are lost.
    """
