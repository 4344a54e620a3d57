"""Ask a KEK for its abilities, checked like all that crosses the seam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ..contract.aad import Aad
from ..contract.abilities import (
    KEY_STATES,
    NEEDS,
    DescribesKey,
    KeyDescription,
    PermissionProbe,
    ProbesPermissions,
)
from ..contract.key_uri import KeyUri
from ..contract.key_wrapper import WrappedDek
from ..errors import SettingsError
from .kek import Kek

MAX_TEXT = 8_192


def describe_key(kek: Kek) -> KeyDescription | None:
    """Return what the provider says of the KEK, or None where its plugin cannot ask.

    Raises:
        ProviderError: The key service refused or failed.
        PluginContractError: The plugin returned what no plugin may return.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, DescribesKey):
        return None
    described = kek.called("describe", wrapper.describe_key)
    if not isinstance(described, KeyDescription) or not _is_sound(described, kek):
        raise kek.broken("describe", "returned no usable description of the key")
    return described


def wrapping_version(kek: Kek, wrapped: WrappedDek, *, aad: Aad) -> str | None:
    """Return the version or key material that wrapped the DEK, or None where it cannot be told.

    Raises:
        DecryptionError: The KEK did not wrap this DEK.
        ProviderError: The key service refused or failed.
        PluginContractError: The plugin returned what no plugin may return.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, DescribesKey):
        return None
    version = kek.called("describe", lambda: wrapper.wrapping_version(wrapped, aad=aad))
    if version is not None and not _is_text(version):
        raise kek.broken("describe", "returned no usable version of the key")
    return version


def describe_access(kek: Kek) -> Mapping[str, str] | None:
    """Return who the provider takes the caller for, or None where the plugin cannot ask.

    Raises:
        ProviderError: The key service refused or failed.
        PluginContractError: The plugin returned what no plugin may return.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, ProbesPermissions):
        return None
    labels = kek.called("probe", wrapper.describe_access)
    if not isinstance(labels, Mapping) or not all(
        _is_text(name) and _is_text(value) for name, value in labels.items()
    ):
        raise kek.broken("probe", "returned no usable labels of the access")
    return labels


def probe_permissions(kek: Kek) -> Sequence[PermissionProbe] | None:
    """Return what the caller may do with the KEK, or None where the plugin cannot ask.

    Raises:
        ProviderError: The key service refused or failed.
        PluginContractError: The plugin returned what no plugin may return.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, ProbesPermissions):
        return None
    probes = kek.called("probe", wrapper.probe_permissions)
    if not isinstance(probes, Sequence) or not all(_is_probe(probe) for probe in probes):
        raise kek.broken("probe", "returned no usable probes of permissions")
    return probes


def _is_sound(described: KeyDescription, kek: Kek) -> bool:
    try:
        KeyUri(kek.uri.provider, described.key_id)
    except (SettingsError, TypeError):
        return False
    texts = (
        described.state_name,
        described.algorithm,
        described.protection,
        described.current_version,
        described.rotation,
    )
    dated = described.deletion is None or (
        isinstance(described.deletion, datetime) and described.deletion.tzinfo is not None
    )
    return (
        described.state in KEY_STATES
        and isinstance(described.public, bool)
        and dated
        and all(text is None or _is_text(text) for text in texts)
    )


def _is_probe(probe: object) -> bool:
    return (
        isinstance(probe, PermissionProbe)
        and _is_text(probe.permission)
        and probe.need in NEEDS
        and (probe.granted is None or isinstance(probe.granted, bool))
        and all(text is None or _is_text(text) for text in (probe.reason, probe.grant))
    )


def _is_text(value: object) -> bool:
    # What a service sent is printed on a terminal: no escape sequence may be among it.
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_TEXT
        and all(char.isprintable() or char == "\n" for char in value)
    )
