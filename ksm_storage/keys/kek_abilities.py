"""Ask a KEK what it is and who may use it, and check the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ..contract.abilities import (
    KEY_STATES,
    NEEDS,
    DescribesKey,
    KeyDescription,
    PermissionProbe,
    ProbesPermissions,
)
from ..contract.key_wrapper import Aad, KeyUri, WrappedDek
from ..errors import SettingsError
from .kek import Kek

MAX_TEXT = 8_192


def describe_key(kek: Kek) -> KeyDescription | None:
    """Return the provider's description of the KEK, or None if the plugin cannot get one.

    Raises:
        ProviderError: The key service rejected the call or failed.
        PluginContractError: The plugin returned something invalid.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, DescribesKey):
        return None
    described = kek.call_plugin("describe", wrapper.describe_key)
    if not isinstance(described, KeyDescription) or not _is_sound(described, kek):
        raise kek.contract_error("describe", "returned an invalid description of the key")
    return described


def wrapping_version(kek: Kek, wrapped: WrappedDek, *, aad: Aad) -> str | None:
    """Return the key version that wrapped the DEK, or None if it is not known.

    Raises:
        DecryptionError: The KEK did not wrap this DEK.
        ProviderError: The key service rejected the call or failed.
        PluginContractError: The plugin returned something invalid.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, DescribesKey):
        return None
    version = kek.call_plugin("describe", lambda: wrapper.wrapping_version(wrapped, aad=aad))
    if version is not None and not _is_text(version):
        raise kek.contract_error("describe", "returned an invalid key version")
    return version


def describe_access(kek: Kek) -> Mapping[str, str] | None:
    """Return the identity that the provider sees, or None if the plugin cannot ask.

    Raises:
        ProviderError: The key service rejected the call or failed.
        PluginContractError: The plugin returned something invalid.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, ProbesPermissions):
        return None
    labels = kek.call_plugin("probe", wrapper.describe_access)
    if not isinstance(labels, Mapping) or not all(
        _is_text(name) and _is_text(value) for name, value in labels.items()
    ):
        raise kek.contract_error("probe", "returned invalid access labels")
    return labels


def probe_permissions(kek: Kek) -> Sequence[PermissionProbe] | None:
    """Return what the caller may do with the KEK, or None if the plugin cannot ask.

    Raises:
        ProviderError: The key service rejected the call or failed.
        PluginContractError: The plugin returned something invalid.
    """
    wrapper = kek.wrapper
    if not isinstance(wrapper, ProbesPermissions):
        return None
    probes = kek.call_plugin("probe", wrapper.probe_permissions)
    if not isinstance(probes, Sequence) or not all(_is_probe(probe) for probe in probes):
        raise kek.contract_error("probe", "returned invalid permission probes")
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
    # What a service sent is printed on a terminal: it must not contain an escape sequence.
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_TEXT
        and all(char.isprintable() or char == "\n" for char in value)
    )
